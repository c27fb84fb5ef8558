// A notebook's sandbox in JupyterLab: `%container lock` writes it into the open document, and a
// notebook that has one which is not a kernel here is offered it. Whatever comes from a notebook or
// a kernel is a stranger's: it is shown as text, and nothing of it is done without a click.
import { contents } from "./offer.js";

const KEY = "ipycontainer";
const TARGET = "ipycontainer.lock";
const ANSWER = "ipycontainer.written";
const RESTART = "ipycontainer.restart";

/** Return the plugin; `shared` gives JupyterLab's own modules. */
export async function makePlugin(shared) {
  const [{ INotebookTracker }, { ISessionContextDialogs, Dialog, showDialog, showErrorMessage },
    { ServerConnection }, { Widget }] = await Promise.all([
    shared("@jupyterlab/notebook"),
    shared("@jupyterlab/apputils"),
    shared("@jupyterlab/services"),
    shared("@lumino/widgets"),
  ]);

  /** Ask our server extension; throws with its words. */
  async function ask(app, what, body) {
    const settings = app.serviceManager.serverSettings;
    const address = `${settings.baseUrl}ipycontainer/${what}`;
    const request = { method: "POST", body: JSON.stringify(body) };
    const response = await ServerConnection.makeRequest(address, request, settings);
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(answer.message || response.statusText);
    return answer;
  }

  /** Show what a sandbox would be and what it does not get; true when it is wanted. */
  async function agreed(answer) {
    const body = new Widget({ node: contents(answer) });
    const button = answer.kernel ? "Use this sandbox" : "Install and use";
    const result = await showDialog({
      title: "This notebook brings its sandbox",
      body,
      buttons: [Dialog.cancelButton({ label: "Not now" }), Dialog.okButton({ label: button })],
      defaultButton: 0, // Enter agrees to nothing
    });
    return result.button.accept;
  }

  /** `starting` is the kernel that JupyterLab starts for it meanwhile, if there is one. */
  async function offer(app, panel, sandbox, starting) {
    const asked = { path: panel.context.path, sandbox };
    const answer = await ask(app, "sandbox", asked);
    const has = panel.sessionContext.session?.kernel?.name ?? starting;
    if (answer.kernel && answer.kernel === has) return true;
    if (panel.isDisposed || !(await agreed(answer))) return false;
    const { kernel } = await ask(app, "sandbox/kernel", asked);
    await app.serviceManager.kernelspecs.refreshSpecs();
    await panel.sessionContext.changeKernel({ name: kernel });
    return true;
  }

  /** Offer what the notebook names; `dialogs` has JupyterLab's own question for a kernel. */
  async function opened(app, panel, dialogs) {
    const sandbox = panel.model?.getMetadata(KEY);
    if (!sandbox) return;
    const named = panel.model.getMetadata("kernelspec")?.name;
    const lacking = !app.serviceManager.kernelspecs.specs?.kernelspecs?.[named];
    const session = panel.sessionContext;
    // Set before JupyterLab looks for the kernel, or its question would lie over this one.
    if (lacking) session.kernelPreference = { ...session.kernelPreference, shouldStart: false };
    let taken = false;
    try {
      taken = await offer(app, panel, sandbox, lacking ? undefined : named);
    } catch (error) {
      await showErrorMessage("This notebook's sandbox cannot be had", error.message);
    }
    if (lacking && !taken && !panel.isDisposed) {
      session.kernelPreference = { ...session.kernelPreference, shouldStart: true };
      await dialogs.selectKernel(session);
    }
  }

  /** Have the kernel's `lock` write into this document, and its `restore` be no death. */
  function listen(panel) {
    const kernel = panel.sessionContext.session?.kernel;
    kernel?.registerCommTarget(TARGET, (comm, message) => {
      void write(panel, kernel, comm.commId, message.content.data?.lock);
    });
    // Of a restart that a kernel tells of itself JupyterLab says that it died. It does so once for a
    // restart, and has no public word for that it was said.
    kernel?.registerCommTarget(RESTART, () => {
      panel._autorestarting = true;
    });
  }

  async function write(panel, kernel, id, lock) {
    const whole = lock !== null && typeof lock === "object" && !Array.isArray(lock);
    if (whole) panel.model?.setMetadata(KEY, lock);
    const answer = kernel.createComm(ANSWER);
    // In a subshell, where there are any: the kernel's main one runs the cell that waits for this.
    const patience = new Promise((resolve) => setTimeout(resolve, 2000));
    await Promise.race([answer.subshellStarted, patience]);
    answer.open({ id, written: whole });
  }

  return {
    id: "ipycontainer-lab:sandbox",
    description: "Writes a notebook's sandbox where a cell asks, and offers one that is missing.",
    autoStart: true,
    requires: [INotebookTracker, ISessionContextDialogs],
    activate(app, tracker, dialogs) {
      tracker.widgetAdded.connect((_, panel) => {
        panel.sessionContext.kernelChanged.connect(() => listen(panel));
        listen(panel);
        void panel.context.ready.then(() => opened(app, panel, dialogs));
      });
    },
  };
}
