"use strict";
// Still pictures become charts: values on hover, choices, the width of the window. Whatever fails leaves the picture.
(() => {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "tip";
  tip.hidden = true;

  const show = (_handler, event, _item, value) => {
    if (value === null || value === undefined || value === "") { tip.hidden = true; return; }
    const rows = typeof value === "object" ? Object.entries(value) : [["", String(value)]];
    tip.replaceChildren(...rows.map(([name, text]) => {
      const row = document.createElement("div");
      const label = row.appendChild(document.createElement("span"));
      label.textContent = name;
      row.append(String(text));
      return row;
    }));
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const top = Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8);
    tip.style.left = `${Math.max(left, 4)}px`;
    tip.style.top = `${Math.max(top, 4)}px`;
  };

  const drawn = [];
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const place = document.createElement("div");
    place.className = "live";
    const drawing = figure.querySelector(".drawing");
    const spec = specs[figure.dataset.chart];
    const fit = () => Math.min(Math.max(drawing.clientWidth, 300), spec.width);
    const first = fit();
    const options = {
      mode: "vega", renderer: "svg", actions: false, defaultStyle: false, hover: true, tooltip: show,
      bind: figure.querySelector(".controls"),
    };
    drawn.push(vegaEmbed(place, { ...spec, width: first }, options).then(({ view }) => {
      drawing.append(place);
      figure.classList.add("alive");
      let seen = first;
      new ResizeObserver(() => {
        if (fit() !== seen) { seen = fit(); view.width(seen).runAsync(); }
      }).observe(drawing);
      return 1;
    }).catch((error) => { console.error(figure.dataset.chart, error); return 0; }));
  }
  Promise.all(drawn).then((ones) => {
    document.documentElement.dataset.charts = String(ones.reduce((sum, one) => sum + one, 0));
  });
})();
