// Figures over training on one page belong together: one zoom, and a line at the place under the pointer in all of them. In a
// figure of many lines the line under the pointer stands out.
const shown = new Set();
const asking = new Set();
const PATIENCE = 1500;  // milliseconds for the server's answer
let next;

// The other figures with the same horizontal axis.
function companions(state) {
  const axis = ({ spec }) => spec?.layout.xaxis?.title?.text ?? lowest(spec);
  return [...shown].filter((other) => other !== state && !other.gone && other.data.resample && axis(other) === axis(state));
}

// The title of the horizontal axis of a figure with several rows of panels.
const lowest = (spec) => xAxes(spec?.layout ?? {}).map((key) => spec.layout[key].title?.text).find(Boolean);
const xAxes = (layout) => Object.keys(layout).filter((key) => /^xaxis\d*$/.test(key));

// Gives the companions of a figure its visible part; null = all.
function follow(state, part) {
  if (!state.data.resample) return;
  for (const other of companions(state)) {
    for (const key of Object.keys(other.zoom)) if (key.startsWith("x")) delete other.zoom[key];
    if (part) for (const key of xAxes(other.spec.layout)) other.zoom[key] = [...part];
    draw(other);
    keep(other);
    asking.add(other);
  }
  setTimeout(askNext, PATIENCE);  // the figure that was zoomed asks first
}

// Asks the server for the points of the followed figures one after another: requests at the same moment would replace each other.
function askNext() {
  clearTimeout(next);
  const [other] = asking;
  if (!other) return;
  asking.delete(other);
  if (!other.gone) report(other);
  next = setTimeout(askNext, PATIENCE);
}

function point(state, event) {
  const x = event.xvals?.[0] ?? event.points?.[0]?.x;
  if (state.data.resample && Number.isFinite(Number(x))) for (const other of companions(state)) cross(other, Number(x));
  const plot = state.figure.querySelector(".gl-plot");
  if (plot._fullLayout?.hovermode === "closest" && event.points?.[0]) stress(plot, line(event.points[0].data));
}

function unpoint(state) {
  for (const other of companions(state)) cross(other, null);
  stress(state.figure.querySelector(".gl-plot"), null);
}

// Draws a line at x in each panel; null takes it away.
function cross({ figure }, x) {
  const plot = figure.querySelector(".gl-plot");
  for (const old of plot.querySelectorAll(".gl-cross")) old.remove();
  const layout = plot._fullLayout;
  if (x === null || !layout) return;
  for (const { xaxis, yaxis } of Object.values(layout._plots ?? {})) {
    const [low, high] = xaxis.range.map(Number);
    if (!(x >= Math.min(low, high) && x <= Math.max(low, high))) continue;
    const mark = document.createElement("div");
    mark.className = "gl-cross";
    Object.assign(mark.style, { left: `${xaxis._offset + xaxis.d2p(x)}px`, top: `${yaxis._offset}px`, height: `${yaxis._length}px` });
    plot.append(mark);
  }
}

// Fades all lines but one; null shows all alike. The drawing itself stays, so it is fast with many lines.
function stress(plot, name) {
  for (const trace of plot.querySelectorAll(".scatterlayer .trace")) {
    const own = trace.__data__?.[0]?.trace;
    if (own) trace.style.opacity = name === null || line(own) === name ? own.opacity ?? 1 : 0.1;
  }
}
