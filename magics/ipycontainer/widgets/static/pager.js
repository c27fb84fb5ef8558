// Long output a page at a time. What a program has printed is put in as text, never as markup.

const BUTTONS = [
  ["First", () => 0],
  ["Earlier", ({ start, page }) => Math.max(start - page, 0)],
  ["Later", ({ start, page, last }) => Math.min(start + page, last)],
  ["Last", ({ last }) => last],
];

export default {
  render({ model, el }) {
    const page = model.get("page");
    const count = model.get("count");
    const last = Math.max(Math.ceil(count / page) - 1, 0) * page;
    let start = 0;
    el.classList.add("ipycontainer", "ipycontainer-pager");
    const line = make("span", {
      class: "ipycontainer-status",
      role: "status",
      text: `${count.toLocaleString()} lines in all`,
    });
    const text = make("pre", {
      class: "ipycontainer-text",
      tabindex: 0,
      "aria-label": "Output",
      text: model.get("text"),
    });
    const ask = (from) => model.send({ type: "page", start: from });
    const moves = BUTTONS.map(([label, to]) => {
      const made = button(label, `${label} page`, () => ask(to({ start, page, last })));
      made.hidden = true;
      return made;
    });
    const open = button("Show the rest", "Show the rest", () => ask(0));
    const take = (message) => {
      if (message.type !== "page") return;
      start = message.start;
      text.textContent = message.text;
      text.scrollTop = 0;
      const first = (start + 1).toLocaleString();
      const end = (start + message.count).toLocaleString();
      line.textContent = `lines ${first} to ${end} of ${count.toLocaleString()}`;
      open.hidden = true;
      for (const made of moves) made.hidden = false;
    };
    model.on("msg:custom", take);
    const labels = { class: "ipycontainer-bar", role: "toolbar", "aria-label": "Pages of the output" };
    el.append(make("div", labels, line, open, ...moves), text);
    return () => model.off("msg:custom", take);
  },
};
