// What the offer of a sandbox shows: text alone, since all of it is from a notebook.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

/** Return the body of the dialog for `{wants: [[what, value], …], refused: [what, …]}`. */
export function contents({ wants, refused }) {
  const rows = wants.map(([what, value]) => {
    const head = element("th", what);
    head.scope = "row";
    head.style.cssText = "text-align:left;vertical-align:top;padding-right:1em;font-weight:normal";
    const cell = element("td", value);
    cell.style.cssText = "font-family:var(--jp-code-font-family);overflow-wrap:anywhere";
    return element("tr", "", head, cell);
  });
  const body = element("div", "",
    element("p", "Its cells would run in a container, and not on this machine itself:"),
    element("table", "", element("tbody", "", ...rows)));
  body.className = "ipycontainer-offer";
  body.style.cssText = "max-width:40em;max-height:60vh;overflow:auto";
  if (refused.length) {
    body.append(
      element("p", "It also asks for this, which no file is given:"),
      element("ul", "", ...refused.map((text) => element("li", text))));
  }
  return body;
}
