// What in a part of a page has no name or too little contrast, as lines (WCAG 2.2: 1.4.3, 4.1.2).
(area) => {
  const NAMED = "button, input, textarea, select, [role=img], [role=log], table";
  const UNREAD = ".xterm, :disabled, style, script, option";
  const seen = (node) => node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const [red, green, blue, alpha = 1] = numbers(getComputedStyle(one).backgroundColor);
      if (alpha > 0.99) return [red, green, blue];
    }
    return [255, 255, 255];
  };
  const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => linear(value / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const name = (node) =>
    node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.textContent || node.title;
  const faults = [];
  for (const node of area.querySelectorAll(NAMED)) {
    if (!seen(node) || node.closest(".xterm")) continue;
    if (!name(node)?.trim()) faults.push(`no name: ${node.outerHTML.slice(0, 120)}`);
  }
  for (const node of area.querySelectorAll("*")) {
    const words = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!words || !seen(node) || node.closest(UNREAD)) continue;
    const style = getComputedStyle(node);
    const both = [light(numbers(style.color).slice(0, 3)), light(behind(node))];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    const enough = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    if (ratio < enough) faults.push(`${ratio.toFixed(1)}:1 ${node.textContent.trim().slice(0, 40)}`);
  }
  return faults;
}
