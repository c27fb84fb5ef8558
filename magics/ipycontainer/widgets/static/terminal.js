// A terminal in a cell: xterm.js, three labelled buttons, and a line that tells how it goes.
// The bytes come as messages and each is acknowledged once it is drawn, which is what holds back a
// program that prints without end. The libraries come from the kernel too, once for a page.

const LIBRARIES = Symbol.for("ipycontainer.xterm");
const LEAVES = "Shift+F6";
const LASTS = 500;
const LABELS = { interrupt: "Interrupt", detach: "Detach", attach: "Attach again", stop: "Stop" };
const SHOWN = {
  running: ["interrupt", "detach", "stop"],
  detached: ["attach", "stop"],
  ended: [],
};

function libraries(model) {
  globalThis[LIBRARIES] ??= new Promise((resolve) => {
    const take = (message, buffers) => {
      if (message.type !== "libraries") return;
      model.off("msg:custom", take);
      resolve(Promise.all(buffers.map(imported)));
    };
    model.on("msg:custom", take);
    model.send({ type: "libraries" });
  });
  return globalThis[LIBRARIES];
}

async function imported(source) {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

function bytes(buffer) {
  return new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);
}

// One for each model of a page: views come and go when the output is drawn anew, and take it along.
class Screen {
  constructor(model) {
    this.model = model;
    this.page = crypto.randomUUID?.() ?? String(Math.random());
    this.number = 0;
    this.views = 0;
    this.focused = false;
    this.node = make("div", { class: "ipycontainer-screen" });
    this.root = make("div", { class: "ipycontainer-terminal" });
    // Keys are the program's: JupyterLab's shortcuts would take some of them.
    this.root.dataset.lmSuppressShortcuts = "true";
    this.root.append(bar(model, this), this.node);
    this.root.addEventListener("focusin", () => this.focus(true));
    this.root.addEventListener("focusout", () => this.focus(false));
    this.opened = libraries(model).then(([xterm, fit]) => this.open(xterm, fit));
    this.opened.catch((error) => {
      this.node.textContent = `The terminal cannot be shown here: ${error.message}`;
    });
  }

  open({ Terminal }, { FitAddon }) {
    this.terminal = new Terminal({
      cursorBlink: true,
      fontSize: 13,
      minimumContrastRatio: 4.5,
      scrollback: 5000,
      linkHandler: { activate() {} },
    });
    this.fit = new FitAddon();
    this.terminal.loadAddon(this.fit);
    // Links (8) would be followed and the clipboard (52) written by what a program prints.
    for (const number of [8, 52]) this.terminal.parser.registerOscHandler(number, () => true);
    this.terminal.onData((data) => this.keys(data));
    this.terminal.attachCustomKeyEventHandler((event) => this.own(event));
    this.model.on("msg:custom", (message, buffers) => this.receive(message, buffers));
    this.model.on("change:state", () => this.follow());
  }

  // Numbered, since the kernel may take two messages at a time.
  send(message) {
    this.model.send({ ...message, page: this.page, number: this.number++ });
  }

  keys(data) {
    // What is replayed may ask the terminal something; the program has had its answer already.
    if (!this.replaying) this.send({ type: "keys", data });
  }

  // Returns false for the keys that are not the program's.
  own(event) {
    if (event.type !== "keydown") return true;
    if (event.shiftKey && event.key === "F6") {
      this.root.querySelector("button:not([hidden])")?.focus();
      event.preventDefault();
      return false;
    }
    const key = event.key.toLowerCase();
    const command = event.ctrlKey && !event.altKey;
    if (command && key === "c" && this.terminal.hasSelection()) return false;
    return !(command && key === "v");
  }

  receive(message, buffers) {
    const done = () => this.send({ type: "drawn", end: message.end });
    if (message.type === "output") {
      this.terminal.write(bytes(buffers[0]), done);
    } else if (message.type === "replay") {
      this.replaying = true;
      this.terminal.reset();
      this.terminal.write(bytes(buffers[0]), () => {
        this.replaying = false;
        done();
      });
    }
  }

  follow() {
    const runs = this.model.get("state") === "running";
    this.terminal.options.disableStdin = !runs;
    this.terminal.options.cursorBlink = runs;
  }

  async show(view, signal) {
    this.views += 1;
    view.append(this.root);
    await this.opened;
    if (signal.aborted) return;
    const sized = new ResizeObserver(() => this.size());
    sized.observe(this.node);
    const themed = new MutationObserver(() => this.colour());
    themed.observe(document.body, {
      attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"],
    });
    signal.addEventListener("abort", () => {
      sized.disconnect();
      themed.disconnect();
    });
  }

  hide() {
    this.views -= 1;
    if (this.views > 0) return;
    this.ready = false;
    this.send({ type: "gone" });
  }

  // Told once it lasts: the cell's text is renewed then, which draws the view anew, and a button
  // that is just being pressed would miss its click.
  focus(on) {
    clearTimeout(this.leaving);
    if (on) this.tellFocus(true);
    else this.leaving = setTimeout(() => this.tellFocus(false), LASTS);
  }

  tellFocus(on) {
    if (on === this.focused) return;
    this.focused = on;
    this.send({ type: "focus", on });
  }

  label() {
    this.terminal.textarea.setAttribute(
      "aria-label",
      `Terminal of ${this.model.get("title")}. ${LEAVES} leaves it.`,
    );
  }

  // Fonts can be measured, and colours be known, only where it is in the page and not hidden.
  size() {
    if (!this.node.clientWidth) return;
    if (!this.terminal.element) {
      this.terminal.open(this.node);
      this.label();
      this.follow();
    }
    this.colour();
    const wanted = this.fit.proposeDimensions();
    if (!wanted?.cols || !wanted?.rows) return;
    const { cols, rows } = this.terminal;
    const changed = cols !== wanted.cols || rows !== wanted.rows;
    if (changed) this.terminal.resize(wanted.cols, wanted.rows);
    if (!this.ready) {
      this.ready = true;
      this.send({ type: "ready", ...wanted });
    } else if (changed) {
      this.send({ type: "resize", ...wanted });
    }
  }

  colour() {
    if (!this.terminal.element || !this.node.clientWidth) return;
    const style = getComputedStyle(this.node);
    const look = {
      background: style.backgroundColor,
      foreground: style.color,
      cursor: style.color,
      cursorAccent: style.backgroundColor,
      selectionBackground: style.outlineColor,
    };
    const known = JSON.stringify([look, style.fontFamily]);
    if (known === this.known) return;
    this.known = known;
    this.terminal.options.theme = look;
    this.terminal.options.fontFamily = style.fontFamily;
  }

  reader(on) {
    this.terminal.options.screenReaderMode = on;
  }
}

function bar(model, screen) {
  const label = `Terminal of ${model.get("title")}`;
  const node = make("div", { class: "ipycontainer-bar", role: "toolbar", "aria-label": label });
  const title = make("span", { class: "ipycontainer-title", text: model.get("title") });
  const line = status();
  const buttons = Object.entries(LABELS).map(([action, text]) => {
    const made = button(text, text, () => {
      screen.send({ type: "press", action });
      if (action === "interrupt" || action === "attach") screen.terminal?.focus();
    });
    made.dataset.action = action;
    return made;
  });
  const reader = button("Screen reader", "Screen reader", () => {
    const on = reader.getAttribute("aria-pressed") !== "true";
    reader.setAttribute("aria-pressed", String(on));
    screen.reader(on);
  });
  reader.setAttribute("aria-pressed", "false");
  const follow = () => {
    const state = model.get("state");
    node.dataset.state = state;
    line.textContent = model.get("status");
    for (const made of buttons) {
      const able = model.get("actions").includes(made.dataset.action);
      made.hidden = !able || !SHOWN[state].includes(made.dataset.action);
    }
  };
  for (const name of ["state", "status", "actions"]) model.on(`change:${name}`, follow);
  follow();
  node.append(title, line, ...buttons, reader);
  return node;
}

export default () => {
  let screen;
  return {
    initialize({ model }) {
      screen = new Screen(model);
      model.on("msg:custom", (message) => keep(model, message));
    },
    render({ model, el }) {
      const ended = new AbortController();
      el.classList.add("ipycontainer");
      screen.show(el, ended.signal);
      return () => {
        ended.abort();
        screen.hide();
      };
    },
  };
};
