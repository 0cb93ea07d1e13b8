// Adapts the layout of a figure to a page, as a pure function of the figure and the width of the page.
const NARROW = 640;
const SCALE = 64;  // height in pixels of a colour scale below its figure

// Texts of figures are escaped for plotly. The page needs them as plain text.
const plain = (text) => new DOMParser().parseFromString((text ?? "").replaceAll("<br>", " "), "text/html").body.textContent;

// On a page the title is text above the figure, so the room for it inside the figure is removed.
function withoutTitle(layout) {
  const above = layout.legend?.y === undefined ? 0 : Math.max(0, (1 - layout.legend.y) * layout.height - 6);
  layout.height -= above;
  layout.margin.t -= above;
  delete layout.title;
  if (layout.legend) layout.legend.y = 1 - 6 / layout.height;
}

// Puts panels that are side by side one below the other.
function stacked(layout) {
  const panels = Object.keys(layout).filter((key) => /^yaxis\d*$/.test(key)).map((key) => {
    const y = layout[key];
    return { x: layout["xaxis" + (y.anchor ?? "x").slice(1)], y, top: y.domain?.[1] ?? 1 };
  }).filter((panel) => panel.x?.domain);  // a figure with a single panel may have no domain
  for (const panel of panels) Object.assign(panel, { cx: (panel.x.domain[0] + panel.x.domain[1]) / 2, side: panel.x.domain[0] });
  if (new Set(panels.map((panel) => panel.side)).size < 2) return;
  const titles = (layout.annotations ?? []).filter((a) => a.xref === "paper" && a.yref === "paper");
  for (const panel of panels) panel.title = titles.find((a) => Math.abs(a.x - panel.cx) < 0.02 && Math.abs(a.y - panel.top) < 0.02);
  panels.sort((a, b) => b.top - a.top || a.side - b.side);
  const gap = 0.34 / panels.length;
  const size = (1 - gap * (panels.length - 1)) / panels.length;
  const rows = new Set(panels.map((panel) => panel.top)).size;
  const inside = layout.height - layout.margin.t - layout.margin.b;
  layout.height += inside * (panels.length / rows - 1) * 0.9;
  panels.forEach((panel, index) => {
    const top = 1 - index * (size + gap);
    panel.y.domain = [Math.max(0, top - size), top];
    panel.x.domain = [0, 1];
    panel.x.showticklabels = panel.y.showticklabels = true;
    if (panel.title) Object.assign(panel.title, { x: 0, xanchor: "left", y: top, font: { ...panel.title.font, size: 12 } });
  });
}

// Says whether a figure is a matrix with square cells.
const square = (spec) => Boolean(spec.layout.yaxis?.scaleanchor);

// On narrow screens the colour scale of a matrix is below it, where it needs no width.
function scaled(trace, layout, spec, width) {
  if (width >= NARROW || !square(spec) || !trace.colorbar) return trace;
  const below = -50 / (layout.height - layout.margin.t - layout.margin.b - SCALE);
  return { ...trace, colorbar: { ...trace.colorbar, orientation: "h", x: 0.5, len: 1, y: below, yanchor: "top" } };
}

function adapted(spec, width) {
  const layout = structuredClone(spec.layout);
  withoutTitle(layout);
  if (width < NARROW) {
    stacked(layout);
    layout.margin.l = Math.min(layout.margin.l, 62);
    layout.margin.r = 10;
    if (square(spec)) layout.height = width - layout.margin.l - layout.margin.r + layout.margin.t + layout.margin.b + SCALE;
    if (layout.legend && spec.data.length > 1) {  // below the tools, since there is no room for both side by side
      layout.height += 24;
      layout.margin.t += 24;
      layout.legend.y = 1 - 30 / layout.height;
    }
    for (const key of Object.keys(layout)) if (/^[xy]axis\d*$/.test(key)) layout[key].nticks ??= 6;
  }
  return layout;
}

// The zoom of the viewer is used instead of the server's range, also after new data have come.
function zoomed(layout, zoom) {
  for (const [axis, range] of Object.entries(zoom)) if (layout[axis]) Object.assign(layout[axis], { range: [...range], autorange: false });
  return layout;
}
