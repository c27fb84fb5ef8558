// What every part begins with. Everything that a container or an image could have written comes
// into the page as text: `textContent` and attributes, never markup.

function make(tag, { text, ...attributes } = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
  if (text !== undefined) found.textContent = text;
  found.append(...children);
  return found;
}

function button(text, label, press) {
  const found = make("button", {
    class: "ipycontainer-button",
    type: "button",
    "aria-label": label,
    title: label,
    text,
  });
  found.addEventListener("click", press);
  return found;
}

// A screen reader says what comes in here, once it has come to rest.
function status() {
  return make("div", { class: "ipycontainer-status", role: "status", "aria-live": "polite" });
}

function tell(line, { text = "", bad = false } = {}) {
  if (line.textContent !== text) line.textContent = text;
  line.dataset.kind = bad ? "bad" : "";
}

// Tells the kernel while this view is in sight, and when it goes. It says so again and again, since
// a page that is closed cannot say anything any more.
function presence(model, el) {
  const view = Math.random().toString(36).slice(2);
  let inside = false;
  const say = (more) => {
    try {
      model.send({ kind: "presence", view, seen: inside && !document.hidden, ...more });
    } catch {
      // The kernel has gone, and nothing is to be told to it.
    }
  };
  const sight = new IntersectionObserver((entries) => {
    inside = entries.at(-1).isIntersecting;
    say();
  });
  const again = () => say();
  sight.observe(el);
  document.addEventListener("visibilitychange", again);
  const timer = setInterval(again, 8000);
  return () => {
    sight.disconnect();
    document.removeEventListener("visibilitychange", again);
    clearInterval(timer);
    say({ seen: false, gone: true });
  };
}

const VIEW = "application/vnd.jupyter.widget-view+json";

// Puts a widget's text into the document, where the front end lends it: a page that was loaded after
// the cell had run takes no update of an output. The text is the output before the view.
function keep(model, { kind, id, data, ended }) {
  if (kind !== "kept") return;
  for (const { outputs } of model.widget_manager?.context?.model?.cells ?? []) {
    for (let at = 1; at < (outputs?.length ?? 0); at++) {
      if (outputs.get(at).data?.[VIEW]?.model_id !== id) continue;
      const known = outputs.get(at - 1).data ?? {};
      if (!String(known["text/html"]).includes("ipycontainer-still")) continue;
      const put = (where, what) => {
        outputs.set(where, { output_type: "display_data", data: what, metadata: {} });
      };
      if (known["text/plain"] !== data["text/plain"]) put(at - 1, data);
      if (ended) put(at, { "text/html": "" });
    }
  }
}

function part(build) {
  return {
    initialize({ model }) {
      model.on("msg:custom", (message) => keep(model, message));
    },
    render({ model, el }) {
      el.classList.add("ipycontainer");
      const leave = presence(model, el);
      const drop = build(model, el);
      return () => {
        leave();
        drop?.();
      };
    },
  };
}

// Calls `draw` now and at each change of these traits; returns what ends that.
function follow(model, names, draw) {
  const events = names.map((name) => `change:${name}`).join(" ");
  model.on(events, draw);
  draw();
  return () => model.off(events, draw);
}

function tableOf(columns) {
  const head = make("tr", {}, ...columns.map((text) => make("th", { scope: "col", text })));
  const [caption, body] = [make("caption"), make("tbody")];
  const table = make("table", {}, caption, make("thead", {}, head), body);
  return { table, caption, head, body };
}
