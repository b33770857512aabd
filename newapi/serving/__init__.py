"""What `manage.py serve` is made of: the product's processes, the ground they stand on, and what is printed."""
