// A transfer: a bar for each layer.
export default part((model, el) => {
  const { table, caption, body } = tableOf(["Layer", "Progress", "State"]);
  const line = status();
  el.append(make("div", { class: "ipycontainer-scroll" }, table), line);
  return follow(model, ["title", "rows", "summary"], () => {
    const rows = model.get("rows");
    table.hidden = rows.length === 0;
    caption.textContent = model.get("title");
    rows.forEach(([name, state, fraction], index) => {
      const row = body.rows[index] ?? body.appendChild(layerRow());
      row.cells[0].firstChild.textContent = name;
      row.cells[1].firstChild.value = fraction;
      row.cells[1].firstChild.setAttribute("aria-label", name);
      row.cells[2].textContent = state;
    });
    while (body.rows.length > rows.length) body.lastChild.remove();
    tell(line, model.get("summary"));
  });
});

function layerRow() {
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, make("code")),
    make("td", {}, make("progress", { max: 1, value: 0 })),
    make("td"),
  );
}
