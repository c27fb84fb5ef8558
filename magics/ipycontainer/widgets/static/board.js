// The containers: a row for each, with what can be done to it.
const COLUMNS = ["Name", "Image", "State", "Ports", "CPU", "Memory", "Actions"];
const WHERE_WIDE = [1, 4, 5]; // what a narrow page goes without
const ACTIONS = [
  ["start", "Start", (row) => !row.running],
  ["stop", "Stop", (row) => row.running],
  ["logs", "Logs", () => true],
  ["shell", "Shell", (row) => row.running && !row.paused],
  ["rm", "Remove", () => true],
];

// A thousand rows with their buttons would hold up the page for seconds.
const AT_ONCE = 100;
const WORTH_SEARCHING = 10;

export default part((model, el) => {
  const { table, caption, head, body } = tableOf(COLUMNS);
  for (const index of WHERE_WIDE) head.cells[index].classList.add("ipycontainer-wide");
  const line = status();
  const find = make("input", { type: "search", "aria-label": "Find", placeholder: "Find" });
  let most = AT_ONCE;
  const more = button("Show more", "Show more containers", () => {
    most += AT_ONCE;
    draw();
  });
  const draw = () => {
    const all = model.get("rows");
    const wanted = find.value.toLowerCase();
    const texts = (row) => [row.name, row.image, row.status, row.id];
    const found = all.filter((row) => texts(row).some((text) => text.toLowerCase().includes(wanted)));
    const rows = found.slice(0, most);
    const left = found.length - rows.length;
    find.hidden = all.length < WORTH_SEARCHING;
    more.hidden = left === 0;
    more.textContent = `Show more (${left.toLocaleString()})`;
    caption.textContent = model.get("caption");
    const known = new Map([...body.rows].map((row) => [row.dataset.id, row]));
    rows.forEach((row, index) => {
      // Rows stay the same elements, so that a redraw takes the focus from nobody.
      const shown = known.get(row.id) ?? containerRow(model, row.id);
      known.delete(row.id);
      if (body.rows[index] !== shown) body.insertBefore(shown, body.rows[index] ?? null);
      fill(shown, row, model.get("busy").includes(row.id));
    });
    for (const gone of known.values()) gone.remove();
    tell(line, model.get("summary"));
  };
  find.addEventListener("input", draw);
  el.append(find, make("div", { class: "ipycontainer-scroll" }, table), more, line);
  return follow(model, ["rows", "busy", "summary", "caption"], draw);
});

function containerRow(model, id) {
  const actions = make("td");
  for (const [action, text] of ACTIONS) {
    const pressed = button(text, text, () => {
      if (action === "rm" && !sure(pressed)) return;
      model.send({ kind: "do", action, id });
    });
    pressed.dataset.action = action;
    pressed.addEventListener("blur", () => unsure(pressed));
    actions.append(pressed);
  }
  const number = () => make("td", { class: "ipycontainer-number ipycontainer-wide" });
  const cells = [
    make("th", { scope: "row", class: "ipycontainer-name" }),
    make("td", { class: "ipycontainer-code ipycontainer-wide" }),
    make("td"),
    make("td", { class: "ipycontainer-code" }),
    number(),
    number(),
    actions,
  ];
  return make("tr", { "data-id": id }, ...cells);
}

// The first press asks, the second does it: nothing is removed by one slip.
function sure(pressed) {
  if (pressed.dataset.sure) {
    unsure(pressed);
    return true;
  }
  pressed.dataset.sure = "yes";
  pressed.textContent = "Really remove?";
  return false;
}

function unsure(pressed) {
  if (!pressed.dataset.sure) return;
  delete pressed.dataset.sure;
  pressed.textContent = "Remove";
}

// Links stay the same elements while the ports are the same, so that a redraw takes no focus.
function fillPorts(cell, ports) {
  const told = JSON.stringify(ports);
  if (cell.dataset.told === told) return;
  cell.dataset.told = told;
  const lines = ports.map(({ text, link }) => {
    const line = make("div");
    if (link) {
      const opened = make("a", { href: link, target: "_blank", rel: "noopener noreferrer" });
      opened.textContent = text;
      line.append(opened);
    } else {
      line.textContent = text;
    }
    return line;
  });
  cell.replaceChildren(...lines);
}

function fill(shown, row, busy) {
  const texts = [row.name, row.image, row.status, null, row.cpu, row.memory];
  fillPorts(shown.cells[texts.indexOf(null)], row.ports ?? []);
  texts.forEach((text, index) => {
    if (text === null) return;
    if (shown.cells[index].textContent !== text) shown.cells[index].textContent = text;
  });
  shown.setAttribute("aria-busy", String(busy));
  for (const pressed of shown.querySelectorAll("button")) {
    const [, text, allowed] = ACTIONS.find(([name]) => name === pressed.dataset.action);
    pressed.hidden = !allowed(row);
    pressed.disabled = busy;
    pressed.setAttribute("aria-label", `${text} ${row.name}`);
    pressed.title = `${text} ${row.name}`;
  }
}
