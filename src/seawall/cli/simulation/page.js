"use strict";
// Plots name the custom properties that hold their colours: what is read here changes with the colour scheme.
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 34rem)");
const touch = matchMedia("(pointer: coarse)");

function draw() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const coloured = (_, value) => (typeof value === "string" && value.startsWith("--") ? colour(value) : value);
  const axis = { gridcolor: colour("--rule"), zerolinecolor: colour("--rule"), linecolor: colour("--rule"), automargin: true };
  const common = {
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: colour("--ink"), family: "system-ui, sans-serif", size: narrow.matches ? 11 : 13 },
    hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
    hovermode: "x unified",
    dragmode: touch.matches ? false : "zoom", // a finger scrolls
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" },
    margin: { l: 10, r: 10, t: 10, b: 10 },
    showlegend: true,
  };
  for (const [id, { data, layout }] of Object.entries(JSON.parse(document.getElementById("data").textContent, coloured))) {
    const axes = { xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis } };
    Plotly.react(id, data, { ...common, ...layout, ...axes }, { displayModeBar: false, responsive: true });
  }
}

draw();
for (const query of [dark, narrow, touch]) query.addEventListener("change", draw);
