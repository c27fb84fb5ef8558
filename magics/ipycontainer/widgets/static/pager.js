// Long output a page at a time. What a program has printed is put in as text, never as markup.

const BUTTONS = [
  ["First", () => 0],
  ["Earlier", ({ start, page }) => Math.max(start - page, 0)],
  ["Later", ({ start, page, last }) => Math.min(start + page, last)],
  ["Last", ({ last }) => last],
];

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

export default {
  render({ model, el }) {
    const page = model.get("page");
    const count = model.get("count");
    const last = Math.max(Math.ceil(count / page) - 1, 0) * page;
    let start = 0;
    el.classList.add("ipycontainer", "ipycontainer-pager");
    const bar = element("div", "ipycontainer-bar");
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", "Pages of the output");
    const status = element("span", "ipycontainer-status", `${count.toLocaleString()} lines in all`);
    status.setAttribute("role", "status");
    const text = element("pre", "ipycontainer-text", model.get("text"));
    text.tabIndex = 0;
    text.setAttribute("aria-label", "Output");
    const ask = (from) => model.send({ type: "page", start: from });
    const moves = BUTTONS.map(([label, to]) => {
      const made = element("button", "ipycontainer-button", label);
      made.type = "button";
      made.hidden = true;
      made.addEventListener("click", () => ask(to({ start, page, last })));
      return made;
    });
    const open = element("button", "ipycontainer-button", "Show the rest");
    open.type = "button";
    open.addEventListener("click", () => ask(0));
    const take = (message) => {
      if (message.type !== "page") return;
      start = message.start;
      text.textContent = message.text;
      text.scrollTop = 0;
      const first = (start + 1).toLocaleString();
      const end = (start + message.count).toLocaleString();
      status.textContent = `lines ${first} to ${end} of ${count.toLocaleString()}`;
      open.hidden = true;
      for (const made of moves) made.hidden = false;
    };
    model.on("msg:custom", take);
    bar.append(status, open, ...moves);
    el.append(bar, text);
    return () => model.off("msg:custom", take);
  },
};
