  // ---- Who waits ----

  // A person waits for what comes of a click, of Enter, of a submission, and of
  // an answer to what they waited for; not for what a page does by itself, and
  // not while they type.
  const attention = 1000; // ms
  let acted = -Infinity;
  let typed = -Infinity;
  const now = () => performance.now();
  const types = () => now() - typed < attention;
  const waits = () => now() - acted < attention && !types();

  const noText = new Set(["button", "checkbox", "color", "file", "hidden", "image", "radio", "range", "reset", "submit"]);

  function takesText(target) {
    if (target instanceof HTMLInputElement) return !noText.has(target.type);
    return target instanceof HTMLTextAreaElement || (target instanceof HTMLElement && target.isContentEditable);
  }

  for (const type of ["click", "keydown", "submit"]) {
    window.addEventListener(type, (event) => {
      if (!event.isTrusted) return;
      const inText = takesText(event.composedPath()[0]);
      if (/** @type {KeyboardEvent} */ (event).key === "Enter") typed = -Infinity;
      else if (type === "keydown") {
        if (inText) typed = now();
        return;
      } else if (type === "click" && inText) return;
      acted = now();
    }, { capture: true, passive: true });
  }
