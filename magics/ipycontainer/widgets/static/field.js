// A line to type. Enter sends what stands there, whole: ipywidgets' own field sends the key and its
// text by two messages, of which the text may come later.
export default part((model, el) => {
  const known = make("datalist", { id: `ipycontainer-${Math.random().toString(36).slice(2)}` });
  const input = make("input", { type: "text", list: known.id, autocomplete: "off", spellcheck: "false" });
  const name = make("span", { class: "ipycontainer-label" });
  el.append(make("label", { class: "ipycontainer-field" }, name, input), known);
  let said = null;
  const say = () => {
    said = input.value;
    model.set("value", said);
    model.save_changes();
  };
  input.addEventListener("input", () => {
    say();
    if (model.get("completes")) model.send({ kind: "complete", text: said });
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    const text = input.value;
    if (model.get("clears")) input.value = "";
    say();
    model.send({ kind: "enter", text });
  });
  return follow(model, ["label", "placeholder", "value", "options"], () => {
    name.textContent = model.get("label");
    input.placeholder = model.get("placeholder");
    // What comes back of one's own typing may be older than what stands there now.
    if (said === null || document.activeElement !== input) input.value = model.get("value");
    known.replaceChildren(...model.get("options").map((value) => make("option", { value })));
  });
});
