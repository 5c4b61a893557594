  // ---- Forms ----

  const { submit, requestSubmit } = HTMLFormElement.prototype;
  const { append, remove, setAttribute, getAttribute, closest } = Element.prototype;
  const { getRootNode } = Node.prototype;
  const isConnected = getter(Node, "isConnected");
  const ownerDocument = getter(Node, "ownerDocument");
  const formGetter = (name) => getter(HTMLFormElement, name);
  const [methodOf, actionOf, enctypeOf, targetOf, elementsOf] = ["method", "action", "enctype", "target", "elements"].map(formGetter);

  const held = new Map(); // form -> the submission that waits for a clearance
  let released = null; // the form of ours that is being submitted, and its entries

  // Browsers before 2023 leave the submitter out.
  const hasSnapshots = (() => {
    const form = document.createElement("form");
    const button = document.createElement("button");
    button.name = "name";
    form.append(button);
    return new FormData(form, button).has("name");
  })();

  // Where a submission goes, and how, as it is now.
  function address(form, submitter) {
    const of = (attribute, property, own) => (submitter?.hasAttribute(attribute) ? submitter[property] : own.call(form));
    return {
      method: of("formmethod", "formMethod", methodOf),
      action: of("formaction", "formAction", actionOf),
      enctype: of("formenctype", "formEnctype", enctypeOf),
      target: of("formtarget", "formTarget", targetOf),
    };
  }

  // The policies whose clearance a submission may need. One that leaves our
  // origin has no use for a clearance; nor has a dialog's, which sends
  // nothing; and a button that makes a GET of a protected POST form sends
  // something else than the form that was protected.
  function concerns(form, { method, action }) {
    if (method === "dialog" || (method === "get" && methodOf.call(form) === "post") || !isOurs(action)) return [];
    return [...policies.values()].filter(({ selectors }) => [...selectors].some((selector) => matches.call(form, selector)));
  }

  // Whether a submission has to wait: a policy that it concerns does not let it
  // through, as far as is known.
  function mustWait(form, submitter) {
    const to = address(form, submitter);
    const hasFile = (field) => field.localName === "input" && field.type === "file" && field.files.length > 0;
    const files = [...elementsOf.call(form)].some(hasFile);
    return concerns(form, to).some((policy) => !policy.lets({ ...to, files }));
  }

  // A submission as it is now, whatever the page does to the form later.
  function take(form, submitter) {
    const to = address(form, submitter);
    const entries = [...new FormData(form, hasSnapshots ? submitter : undefined)];
    if (!hasSnapshots && submitter?.name) entries.push([submitter.name, submitter.value]);
    const owner = ownerDocument.call(form);
    return {
      ...to,
      owner,
      entries,
      files: entries.some(([, value]) => value instanceof File && (value.name !== "" || value.size > 0)),
      charset: getAttribute.call(form, "accept-charset"),
      rel: getAttribute.call(form, "rel"),
      frame: to.target && [...owner.querySelectorAll("iframe, frame")].find((frame) => frame.getAttribute("name") === to.target),
      needed: concerns(form, to),
    };
  }

  // Holds a submission back. A later one of the same form takes its place, as
  // it would take the place of a navigation.
  async function hold(form, submission) {
    const waits = held.has(form);
    held.set(form, submission);
    if (waits) return;
    await Promise.all(submission.needed.map((policy) => policy.foresee(submission)));
    const passed = await cleared(submission.needed.filter((policy) => !policy.lets(submission)));
    submission = held.get(form);
    held.delete(form);
    if (passed) release(submission);
  }

  // Lets the browser submit what was held, in a form of our own: the page may
  // have changed or removed its own since. Where it has removed the frame that
  // the answer was for, it has no more use for it.
  function release({ owner, method, action, enctype, target, charset, rel, frame, entries }) {
    if (frame && !isConnected.call(frame)) return;
    const form = owner.createElement("form");
    for (const [name, value] of Object.entries({ method, action, enctype, target, rel, "accept-charset": charset })) {
      if (value) setAttribute.call(form, name, value);
    }
    if (entries.some(([name]) => name === "_charset_")) { // which the browser fills in
      const field = owner.createElement("input");
      field.type = "hidden";
      field.name = "_charset_";
      form.append(field);
    }
    form.hidden = true;
    append.call(owner.documentElement, form);
    released = { form, entries };
    try {
      submit.call(form);
    } finally {
      released = null;
      remove.call(form);
    }
  }

  // This listener is the first to run. Whether the page prevents the default
  // is known only after its last listener, which need not be reached by the
  // event and may cancel it in ways that leave no trace if we have canceled it
  // before. So the page gets an event of its own, once, and the browser's goes
  // no further.
  function submitted(event) {
    const { target: form, submitter } = event;
    // An event made by the page submits nothing.
    if (!event.isTrusted || event.defaultPrevented || !mustWait(form, submitter)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (held.has(form)) return; // a double click
    const { SubmitEvent } = ownerDocument.call(form).defaultView;
    const own = new SubmitEvent("submit", { bubbles: true, cancelable: true, submitter });
    if (!dispatchEvent.call(form, own)) return;
    const waits = mustWait(form, submitter); // the page may have changed the form
    if (waits) hold(form, take(form, submitter));
    else release(take(form, submitter));
  }

  // What a person touches may soon be submitted. That a field has the focus may
  // be the page's doing. A shadow root that was made with the document shows
  // itself here.
  function touched(event) {
    const path = event.composedPath();
    path.filter(isShadow).forEach(watch);
    const form = path[0].localName && closest.call(path[0], "form");
    if (!form) return;
    const submission = address(form, null);
    for (const policy of concerns(form, submission)) {
      const answer = policy.foresee(submission);
      if (event.type !== "focusin") answer.then((needs) => needs?.cleared === false && needs.needed !== "no" && policy.prepare());
    }
  }

  function isShadow(node) {
    return node.nodeType === Node.DOCUMENT_FRAGMENT_NODE && Boolean(node.host);
  }

  // A submission in a shadow root is seen in there alone, and what a person
  // does in a closed one, too. To listen twice is to listen once.
  function watch(root) {
    const listen = (listener, passive, ...types) => types.forEach((type) => addEventListener.call(root, type, listener, { capture: true, passive }));
    listen(attend, true, "click", "keydown", "submit"); // first: the next one may stop the event
    listen(submitted, false, "submit");
    listen(listed, true, "formdata");
    listen(touched, true, "focusin", "pointerdown", "input", "click");
  }

  function listed(event) {
    if (event.target !== released?.form) return;
    event.stopImmediatePropagation(); // the page has seen it
    const data = event.formData;
    const charset = data.get("_charset_");
    for (const name of new Set(data.keys())) data.delete(name);
    for (const [name, value] of released.entries) data.append(name, name === "_charset_" ? charset ?? value : value);
  }

  const { attachInternals } = HTMLElement.prototype;
  const wrapped = new WeakSet(); // windows

  function watchWindow(view) {
    watch(view); // again, as document.open takes the listeners away
    view.document.addEventListener("load", framed, true);
    if (wrapped.has(view)) return;
    wrapped.add(view);
    Object.assign(view.HTMLFormElement.prototype, {
      submit() {
        if (isConnected.call(this) && mustWait(this, undefined)) hold(this, take(this, undefined));
        else submit.call(this);
      },
      requestSubmit() {
        const root = getRootNode.call(this);
        watch(isShadow(root) ? root : view);
        requestSubmit.apply(this, /** @type {any} */ (arguments));
      },
    });
    Object.assign(view.Element.prototype, {
      // eslint-disable-next-line no-unused-vars -- the page may look at its length
      attachShadow(init) {
        const root = attachShadow.apply(this, /** @type {any} */ (arguments));
        watch(root);
        return root;
      },
    });
    Object.assign(view.HTMLElement.prototype, {
      attachInternals() {
        const internals = attachInternals.call(this);
        if (internals.shadowRoot) watch(internals.shadowRoot);
        return internals;
      },
    });
    view.document.addEventListener("DOMContentLoaded", () => watchIn(view.document), { once: true });
  }

  function watchIn(root) {
    for (const { shadowRoot } of root.querySelectorAll("*")) {
      if (!shadowRoot) continue;
      watch(shadowRoot);
      watchIn(shadowRoot);
    }
  }

  // A document that the page itself makes in a frame never gets a script of
  // ours. It may be there before its frame has loaded.
  function framed({ target: { localName, contentDocument: inner } }) {
    if (localName !== "iframe" || !inner?.URL.startsWith("about:") || inner.defaultView[mark]) return;
    watchWindow(inner.defaultView);
    watchIn(inner);
  }

  watchWindow(window);
