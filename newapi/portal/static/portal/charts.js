// Draws every canvas[data-chart] from the JSON that it names. Colours are read from the style sheet, so that
// charts follow the theme. The same numbers stand in a table below each chart.
(() => {
  "use strict";
  const charts = [];
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  // Custom properties come out unresolved; a colour set from them does not.
  const color = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };

  const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 });
  const plain = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 9, maximumSignificantDigits: 6 });
  const dayShort = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const dayLong = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeZone: "UTC" });

  const options = (data) => ({
    animation: still ? false : { duration: 350 },
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    scales: {
      x: {
        stacked: true,
        border: { color: color("--line-strong") },
        grid: { display: false },
        ticks: {
          color: color("--ink-3"),
          maxRotation: 0,
          autoSkipPadding: 18,
          callback: (_, index) => dayShort.format(new Date(data.days[index])),
        },
      },
      y: {
        stacked: true,
        beginAtZero: true,
        suggestedMax: data.least,
        border: { display: false },
        grid: { color: color("--chart-grid") },
        ticks: { color: color("--ink-3"), maxTicksLimit: 5, callback: (value) => compact.format(value) },
      },
    },
    plugins: {
      legend: { display: false },
      tooltip: {
        backgroundColor: color("--surface"),
        borderColor: color("--line-strong"),
        borderWidth: 1,
        titleColor: color("--ink"),
        bodyColor: color("--ink-2"),
        footerColor: color("--ink"),
        padding: 12,
        boxPadding: 5,
        usePointStyle: true,
        filter: (item) => item.raw !== 0 || data.series.length === 1,
        callbacks: {
          title: (items) => (items.length ? dayLong.format(new Date(data.days[items[0].dataIndex])) : ""),
          label: (item) => ` ${item.dataset.label}: ${plain.format(item.raw)} ${data.unit}`,
        },
      },
    },
  });

  const datasets = (data) =>
    data.series.map((series) => ({
      label: series.label,
      data: series.values,
      backgroundColor: color(series.color),
      hoverBackgroundColor: color(series.color),
      borderRadius: data.series.length === 1 ? 3 : 1,
      maxBarThickness: 34,
      categoryPercentage: 0.86,
      barPercentage: 0.92,
    }));

  const draw = () => {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    for (const chart of charts.splice(0)) chart.destroy();
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
      const data = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
      charts.push(
        new Chart(canvas, { type: "bar", data: { labels: data.days, datasets: datasets(data) }, options: options(data) }),
      );
    }
    document.documentElement.dataset.charts = String(charts.length);
  };

  draw();
  document.addEventListener("themechange", draw);
})();
