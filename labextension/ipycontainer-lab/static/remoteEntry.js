// JupyterLab loads this file as a script and expects a module-federation container under the
// extension's name: https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html
// It is written by hand, so what is installed is what is read; the plugin is the module beside it.
(() => {
  const here = document.currentScript.src;
  /** The modules that JupyterLab shares, by name and version. */
  let scope;

  /** Return the one module `name` that this JupyterLab runs with. */
  async function shared(name) {
    const versions = Object.values(scope[name] ?? {});
    if (!versions.length) throw new Error(`ipycontainer-lab: this JupyterLab shares no ${name}`);
    const used = versions.find((version) => version.loaded) ?? versions[0];
    return (await used.get())();
  }

  globalThis._JUPYTERLAB ??= {};
  globalThis._JUPYTERLAB["ipycontainer-lab"] = {
    init(given) {
      scope = given;
    },
    async get(module) {
      if (module !== "./extension") throw new Error(`ipycontainer-lab has no ${module}`);
      const { makePlugin } = await import(new URL("plugin.js", here).href);
      const plugin = await makePlugin(shared);
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
