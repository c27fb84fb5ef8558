// A table that can be searched.
const MOST_ROWS = 500;
const WORTH_SEARCHING = 10;

export default part((model, el) => {
  const find = make("input", { type: "search", "aria-label": "Find", placeholder: "Find" });
  const { table, caption, head, body } = tableOf([]);
  const line = status();
  el.append(find, make("div", { class: "ipycontainer-scroll" }, table), line);
  const draw = () => {
    const rows = model.get("rows");
    const wanted = find.value.toLowerCase();
    const found = rows.filter((row) => row.some((cell) => cell.toLowerCase().includes(wanted)));
    find.hidden = rows.length < WORTH_SEARCHING;
    table.hidden = rows.length === 0;
    caption.textContent = model.get("caption");
    head.replaceChildren(...model.get("columns").map((text) => make("th", { scope: "col", text })));
    body.replaceChildren(...found.slice(0, MOST_ROWS).map(gridRow));
    const more = found.length - MOST_ROWS;
    const summary = model.get("summary");
    tell(line, more > 0 ? { text: `${more} more: search for them. ${summary.text ?? ""}` } : summary);
  };
  find.addEventListener("input", draw);
  return follow(model, ["rows", "columns", "caption", "summary"], draw);
});

function gridRow(row) {
  return make("tr", {}, ...row.map((text) => make("td", { class: "ipycontainer-code", text })));
}
