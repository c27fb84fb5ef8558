// What a program prints, as it comes. The kernel keeps the end of it; a view asks for what it lacks.
const MOST_CHARACTERS = 400_000;

export default part((model, el) => {
  const output = make("pre", { class: "ipycontainer-output", role: "log", tabindex: 0 });
  const cut = make("div", { class: "ipycontainer-empty", text: "Earlier output is not shown here." });
  const line = status();
  el.append(cut, output, line);
  let have = 0; // up to where of all that was printed
  let held = 0; // how many characters of it are in the page
  const clear = (at) => {
    output.replaceChildren();
    [have, held] = [at, 0];
    cut.hidden = at === 0;
  };
  const add = (text) => {
    const near = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    output.append(text);
    held += text.length;
    while (held > MOST_CHARACTERS && output.childNodes.length > 1) {
      held -= output.firstChild.textContent.length;
      output.firstChild.remove();
      cut.hidden = false;
    }
    if (near) output.scrollTop = output.scrollHeight;
  };
  // Places are counted by the kernel, in characters; a page counts otherwise.
  const hear = ({ kind, at, end, text }) => {
    if (kind === "whole") clear(at);
    else if (kind !== "text" || end <= have) return;
    if (at !== have) return ask(); // a message was lost, or this view is new
    add(text);
    have = end;
  };
  const ask = () => model.send({ kind: "want" });
  clear(0);
  model.on("msg:custom", hear);
  ask();
  const drop = follow(model, ["label", "summary"], () => {
    output.setAttribute("aria-label", model.get("label"));
    tell(line, model.get("summary"));
  });
  return () => {
    model.off("msg:custom", hear);
    drop();
  };
});
