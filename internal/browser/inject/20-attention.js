  // ---- Who waits ----

  // A person waits for what comes of a click, of Enter, of a submission, and of
  // the answer to what they waited for; not for what a page does by itself, and
  // not while they type.

  const lasts = 1000; // ms

  function now() {
    return performance.timeOrigin + performance.now();
  }

  function waits() {
    return now() - attention.acted < lasts && !types();
  }

  // An Enter in a field of several lines is a key like others, unless the page
  // makes something else of it.
  function types() {
    return now() - attention.typed < lasts && !attention.enter?.defaultPrevented;
  }

  function attend(event) {
    const target = event.composedPath()[0];
    if (!event.isTrusted || hosts.has(target)) return;
    const { type, key, isComposing } = /** @type {KeyboardEvent} */ (event);
    const enters = type === "keydown" && key === "Enter" && !isComposing;
    const inText = takesText(target);
    if (enters ? !hasLines(target) : type === "submit" || (type === "click" && !inText)) {
      attention.acted = now();
      attention.typed = -Infinity; // what was typed is done with
    } else if (enters) {
      attention.acted = attention.typed = now();
      attention.enter = event;
    } else if (type === "keydown" && inText) {
      attention.typed = now();
      attention.enter = null;
    }
  }

  const noText = new Set(["button", "checkbox", "color", "file", "hidden", "image", "radio", "range", "reset", "submit"]);

  function takesText(target) {
    return hasLines(target) || (target.localName === "input" && !noText.has(target.type));
  }

  function hasLines(target) {
    return target.localName === "textarea" || target.isContentEditable === true;
  }
