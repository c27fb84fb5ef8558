// What containers use, as numbers and as lines of the last minute.
const COLUMNS = ["Name", "CPU", "CPU, last minute", "Memory", "Memory, last minute", "Processes"];
const [WIDTH, HEIGHT] = [120, 24];
const SVG = "http://www.w3.org/2000/svg";

export default part((model, el) => {
  const { table, caption, body } = tableOf(COLUMNS);
  const line = status();
  el.append(make("div", { class: "ipycontainer-scroll" }, table), line);
  return follow(model, ["rows", "caption", "summary"], () => {
    caption.textContent = model.get("caption");
    body.replaceChildren(...model.get("rows").map(statsRow));
    tell(line, model.get("summary"));
  });
});

function statsRow(row) {
  const number = (text) => make("td", { class: "ipycontainer-number", text });
  const cpu = chart(row.cpus, Math.max(100, ...row.cpus), `CPU of ${row.name}: ${row.cpu}`);
  const most = row.limit || Math.max(1, ...row.memories);
  const memory = chart(row.memories, most, `Memory of ${row.name}: ${row.memory}`);
  return make(
    "tr",
    {},
    make("th", { scope: "row", class: "ipycontainer-name", text: row.name }),
    number(row.cpu),
    make("td", {}, cpu),
    number(row.memory),
    make("td", {}, memory),
    number(row.processes),
  );
}

function chart(values, most, label) {
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.map((value, index) => {
    const height = (HEIGHT - 2) * Math.min(1, value / most);
    return `${(index * step).toFixed(1)},${(HEIGHT - 1 - height).toFixed(1)}`;
  });
  const line = drawn("polyline", {
    points: points.join(" "),
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 1.5,
  });
  const attributes = { class: "ipycontainer-chart", role: "img", "aria-label": label };
  const size = { width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}` };
  return drawn("svg", { ...attributes, ...size }, line);
}

function drawn(tag, attributes, ...children) {
  const found = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  found.append(...children);
  return found;
}
