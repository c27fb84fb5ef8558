// What a program prints, as it comes. The kernel keeps the end of it; a view asks for what it lacks.
const MOST_CHARACTERS = 400_000;
const SLACK = 40_000; // is cut more at a time, so that it is not cut at each message
const LONGEST_OPEN = 4_096; // of a line that can still be overwritten

export default part((model, el) => {
  const output = make("pre", { class: "ipycontainer-output", role: "log", tabindex: 0 });
  const cut = make("div", { class: "ipycontainer-empty", text: "Earlier output is not shown here." });
  const line = status();
  el.append(cut, output, line);
  let have = 0; // up to where of all that was printed
  let held = 0; // how many characters of it are in the page
  const open = document.createTextNode(""); // the line that is not finished, always the last
  let written = ""; // what that line was made by
  const clear = (at) => {
    output.replaceChildren(open);
    [have, held, written, open.data] = [at, 0, "", ""];
    cut.hidden = at === 0;
  };
  const add = (text) => {
    const near = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    const lines = (written + text).split("\n").map(overwritten);
    const { shown, column } = lines.pop();
    let finished = lines.map((one) => `${one.shown.join("")}\n`).join("");
    // A bar is drawn over and over: of that only what it shows is kept, and where it is.
    open.data = shown.join("");
    written = open.data + (column < shown.length ? `\r${shown.slice(0, column).join("")}` : "");
    if (shown.length > LONGEST_OPEN) {
      finished += open.data;
      [written, open.data] = ["", ""];
    }
    if (finished) output.insertBefore(document.createTextNode(finished), open);
    held += finished.length;
    if (held > MOST_CHARACTERS) trim(held - MOST_CHARACTERS + SLACK);
    if (near) output.scrollTop = output.scrollHeight;
  };
  // Takes so many characters from the beginning, which may be all of one message.
  const trim = (over) => {
    cut.hidden = false;
    for (let first; over > 0 && (first = output.firstChild) !== open; ) {
      const count = Math.min(over, first.data.length);
      if (count === first.data.length) first.remove();
      else first.deleteData(0, count);
      over -= count;
      held -= count;
    }
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

// A line as a terminal would leave it, character by character, and where it would go on.
function overwritten(line) {
  const shown = [];
  let column = 0;
  for (const character of line) {
    if (character === "\r") column = 0;
    else if (character === "\b") column = Math.max(column - 1, 0);
    else shown[column++] = character;
  }
  return { shown, column };
}
