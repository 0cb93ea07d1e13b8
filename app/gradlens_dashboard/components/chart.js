// Draws a plotly figure and keeps zoom, legend choices and scroll position while its data change.
const SCRIPT = "PLOTLY_ADDRESS";
const memory = new WeakMap();

function plotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  window.gradlensPlotly ??= new Promise((resolve, reject) => {
    const early = document.querySelector(`script[src="${SCRIPT}"]`);  // the page has this script, unless it could not be loaded
    const script = early ?? document.createElement("script");
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => { delete window.gradlensPlotly; script.remove(); reject(new Error(SCRIPT + " could not be loaded")); });
    if (!early) document.head.append(Object.assign(script, { src: SCRIPT }));
  });
  return window.gradlensPlotly;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function build(root) {
  const figure = document.createElement("figure");
  figure.className = "gl-figure";
  figure.innerHTML =
    '<figcaption><div class="gl-texts"><h2></h2><p></p></div><div class="gl-tools" role="group">' +
    ["PNG", "SVG", "HTML", "CSV"].map((kind) => `<button type="button" data-kind="${kind}">${kind}</button>`).join("") +
    '<a hidden>?</a></div></figcaption><div class="gl-plot"></div>';
  root.append(figure);  // Streamlit's style sheet is in root already and stays
  return figure;
}

// Figures that wait to be drawn. They are drawn one after another, those on the screen first. Between two of them the browser
// shows what is drawn and takes clicks, so that a viewer does not wait for all figures.
const waiting = new Set();
let drawing = false;

function draw(state) {
  state.due = true;
  waiting.add(state);
  if (!drawing) drawAll();
}

async function drawAll() {
  drawing = true;
  while (waiting.size) {
    const next = [...waiting].reduce((a, b) => (distance(b) < distance(a) ? b : a));
    waiting.delete(next);
    await drawOne(next);
    await new Promise((done) => setTimeout(done, 20));
  }
  drawing = false;
}

// How far above or below the screen a figure is, in pixels.
function distance({ figure }) {
  const { top, bottom } = figure.getBoundingClientRect();
  return Math.max(0, top - window.innerHeight, -bottom);
}

// Nothing is drawn while a mouse button is held down: drawing would stop a zoom that the viewer is making.
async function drawOne(state) {
  if (state.held || state.gone) return;
  state.drawing = true;
  try {
    state.due = false;
    await paint(state);
  } catch (error) {
    if (state.gone) return;  // the viewer has left the page meanwhile
    console.error(error);
    state.figure.dataset.drawn = "failed";
    const plot = state.figure.querySelector(".gl-plot");
    window.Plotly?.purge(plot);
    plot.textContent = `This figure cannot be drawn: ${error.message}`;
    state.listening = false;
  } finally {
    state.drawing = false;
  }
}

async function paint(state) {
  const Plotly = await plotly();
  const { figure, spec, data } = state;
  const plot = figure.querySelector(".gl-plot");
  const width = plot.clientWidth || figure.clientWidth;
  const empty = spec.layout.xaxis?.visible === false;  // the figure only has a note that says why it is empty
  if (empty && plot._fullLayout) Plotly.purge(plot);
  if (!plot._fullLayout) plot.textContent = "";
  figure.classList.toggle("gl-empty", empty);
  if (empty) {
    plot.textContent = spec.layout.annotations.map((annotation) => plain(annotation.text)).join(" ");
    plot.style.minHeight = "";
    state.listening = false;
    figure.dataset.drawn = String(Number(figure.dataset.drawn ?? 0) + 1);
    return;
  }
  const layout = zoomed(adapted(spec, width), state.zoom);
  layout.uirevision = data.revision;
  layout.font = { ...layout.font, family: getComputedStyle(figure).fontFamily };
  layout.autosize = true;
  plot.style.minHeight = `${layout.height}px`;
  const config = {
    responsive: false, displaylogo: false, displayModeBar: true, scrollZoom: false, doubleClick: false,
    modeBarButtons: [["zoom2d", "pan2d", { name: "reset", title: "Reset zoom", icon: Plotly.Icons.home, click: () => reset(state) }]],
  };
  await Plotly.react(plot, legible(state).map((trace) => scaled(trace, layout, spec, width)), layout, config);
  // A legend of several lines would lie over the panels.
  const legend = plot._fullLayout?.legend?._height ?? 0;
  if (legend > 36 && plot._fullLayout.showlegend) {
    const height = layout.height + legend - 26;
    const above = (1 - layout.legend.y) * layout.height;
    await Plotly.relayout(plot, { "margin.t": layout.margin.t + legend - 26, height, "legend.y": 1 - above / height });
  }
  name(plot, state.name);
  state.width = width;
  if (!state.listening) listen(state, plot);
  figure.dataset.drawn = String(Number(figure.dataset.drawn ?? 0) + 1);
}

// For screen readers the layers of the drawing are one image. The buttons beside it can still be reached with the keyboard.
function name(plot, text) {
  const [first, ...others] = plot.querySelectorAll(".main-svg");
  first.setAttribute("role", "img");
  first.setAttribute("aria-label", text);
  for (const layer of others) layer.setAttribute("aria-hidden", "true");
}

// The name of a line in the address.
const line = (trace) => plain(trace.legendgroup ?? trace.name);

// Lines that the viewer has hidden in the legend stay hidden when the server sends new data.
function legible(state) {
  return state.spec.data.map((trace) => (state.hidden.includes(line(trace)) ? { ...trace, visible: "legendonly" } : trace));
}

// Zoom and hidden lines are kept in the address, so that a copied link opens the same view.
function choices({ key, path, keep }) {
  const { pathname, searchParams } = new URL(window.location);
  if (!keep || !pathname.endsWith("/" + path)) return { zoom: {}, hidden: [] };
  const found = searchParams.getAll(`zoom.${key}`).map((text) => /^([xy])(\d*) (\S+) (\S+)$/.exec(text)).filter(Boolean);
  const zoom = found.map(([, axis, number, ...ends]) => [`${axis}axis${number}`, ends.map(Number)]);
  const sound = ([low, high]) => Number.isFinite(high - low) && low !== high;
  return { zoom: Object.fromEntries(zoom.filter(([, ends]) => sound(ends))), hidden: searchParams.getAll(`hide.${key}`) };
}

function keep({ data, zoom, hidden }) {
  const address = new URL(window.location);
  if (!address.pathname.endsWith("/" + data.path)) return;  // the viewer has opened another page meanwhile
  const names = { zoom: Object.entries(zoom).map(([axis, ends]) => [axis.replace("axis", ""), ...ends].join(" ")), hide: hidden };
  for (const [name, values] of Object.entries(names)) {
    address.searchParams.delete(`${name}.${data.key}`);
    for (const value of values) address.searchParams.append(`${name}.${data.key}`, value);
  }
  if (address.search !== window.location.search) window.history.replaceState(window.history.state, "", address);
}

// The visible part of the horizontal axis, which all panels share; null = all.
const shownPart = ({ zoom }) => zoom[Object.keys(zoom).find((axis) => axis.startsWith("x"))] ?? null;

// Asks the server for the points in the visible part.
function report(state) {
  keep(state);
  clearTimeout(state.timer);
  if (!state.data.resample) return;
  state.timer = setTimeout(() => state.component.setStateValue("window", shownPart(state)), 300);
}

function reset(state) {
  state.zoom = {};
  draw(state);
  report(state);
  follow(state, null);
}

function listen(state, plot) {
  state.listening = true;
  plot.on("plotly_relayout", (change) => {
    if (state.drawing) return;
    let moved = false;
    for (const key of Object.keys(change)) {
      const axis = /^([xy]axis\d*)\.range/.exec(key)?.[1];
      if (!axis) continue;
      state.zoom[axis] = plot._fullLayout[axis].range.map(Number);
      moved = true;
    }
    if (!moved) return;
    report(state);
    if (Object.keys(change).some((key) => key.startsWith("xaxis"))) follow(state, shownPart(state));
  });
  plot.on("plotly_hover", (event) => point(state, event));
  plot.on("plotly_unhover", () => unpoint(state));
  plot.on("plotly_doubleclick", () => reset(state));
  plot.on("plotly_restyle", () => {
    if (state.drawing) return;
    state.hidden = [...new Set(plot._fullData.filter((trace) => trace.visible === "legendonly").map(line))];
    keep(state);
  });
  plot.on("plotly_click", (event) => {
    const point = event.points?.[0];
    if (state.data.clickable && point) state.component.setStateValue("clicked", Math.round(Number(point.y)));
  });
}

async function download(state, kind) {
  const name = state.data.name;
  if (kind === "CSV") return state.component.setTriggerValue("csv", Date.now());
  const Plotly = await plotly();
  const layout = zoomed(structuredClone(state.spec.layout), state.zoom);
  const figure = { data: legible(state), layout };
  if (kind === "HTML") {
    const source = await (await fetch(SCRIPT)).text();
    const page = document.implementation.createHTMLDocument(plain(layout.title?.text) || name);
    const meta = page.createElement("meta");
    meta.setAttribute("charset", "utf-8");
    page.head.prepend(meta);
    page.body.style.background = layout.paper_bgcolor;
    const place = page.createElement("div");
    place.id = "figure";
    const library = page.createElement("script");
    library.textContent = source;
    const script = page.createElement("script");
    const json = JSON.stringify(figure).replaceAll("<", "\\u003c");
    script.textContent = `const f = ${json}; Plotly.newPlot("figure", f.data, f.layout, {responsive: true});`;
    page.body.append(place, library, script);
    return save(new Blob(["<!doctype html>\n" + page.documentElement.outerHTML], { type: "text/html" }), `${name}.html`);
  }
  const format = kind.toLowerCase();
  const size = { width: 1200, height: Math.round(layout.height * 1.15), scale: kind === "PNG" ? 2 : 1 };
  const uri = await Plotly.toImage(figure, { format, ...size });
  save(await (await fetch(uri)).blob(), `${name}.${format}`);
}

export default function (component) {
  const { data, parentElement } = component;
  let state = memory.get(parentElement);
  if (!state) {
    state = { figure: build(parentElement), ...choices(data), text: null };
    if (!data.keep) keep({ data, ...state });
    memory.set(parentElement, state);
    shown.add(state);
    state.figure.querySelectorAll("button").forEach((button) => {
      button.onclick = () => download(state, button.dataset.kind);
    });
    state.observer = new ResizeObserver(() => {
      const width = state.figure.querySelector(".gl-plot").clientWidth;
      if (width && Math.abs(width - (state.width ?? width)) > 1) draw(state);
    });
    state.observer.observe(state.figure);
    state.figure.querySelector(".gl-plot").addEventListener("pointerdown", () => { state.held = true; });
    state.release = () => {
      if (!state.held) return;
      state.held = false;
      setTimeout(() => { if (state.due) draw(state); }, 250);  // by then the new zoom is known
    };
    window.addEventListener("pointerup", state.release);
    window.addEventListener("pointercancel", state.release);
  }
  state.component = component;
  const other = state.data && state.data.revision !== data.revision;
  state.data = data;
  if (other) {
    Object.assign(state, { zoom: {}, hidden: [] });
    keep(state);
  }
  // The server has drawn another part than the visible one, since it did not know the zoom.
  if (data.resample && JSON.stringify(data.window) !== JSON.stringify(shownPart(state))) report(state);
  if (data.csv && data.csv.id !== state.csv) {
    state.csv = data.csv.id;
    save(new Blob([data.csv.text], { type: "text/csv" }), `${data.name}.csv`);
  }
  if (state.text !== data.figure) {
    if (state.text !== null) askNext();
    state.text = data.figure;
    state.spec = JSON.parse(data.figure);
    const title = plain(state.spec.layout.title?.text);
    const subtitle = plain(state.spec.layout.title?.subtitle?.text);
    const { figure } = state;
    state.name = subtitle ? `${title}. ${subtitle}` : title;
    figure.querySelector("h2").textContent = title;
    figure.querySelector("p").textContent = subtitle;
    const link = figure.querySelector(".gl-tools a");
    link.hidden = !data.explains;
    link.href = `glossary#${data.explains}`;
    link.setAttribute("aria-label", `What it means: ${title}`);
    figure.querySelector(".gl-tools").setAttribute("aria-label", `Download the figure: ${title}`);
    figure.querySelectorAll("button").forEach((b) => b.setAttribute("aria-label", `Download as ${b.dataset.kind}: ${title}`));
    draw(state);
  }
  return () => {
    state.gone = true;
    state.observer.disconnect();
    window.removeEventListener("pointerup", state.release);
    window.removeEventListener("pointercancel", state.release);
    clearTimeout(state.timer);
    memory.delete(parentElement);
    shown.delete(state);
    window.Plotly?.purge(state.figure.querySelector(".gl-plot"));
    state.figure.remove();
  };
}
