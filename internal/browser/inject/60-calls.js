  // ---- Calls ----

  const curable = new Set(["missing", "rejected", "expired", "replayed"]);

  // The policy that refused a call to our origin, if a captcha can help. What
  // was redirected is repeated only when that changes nothing: before the
  // redirect the application may have acted.
  function refusedBy(call, answer) {
    if (answer.status !== 403 || !isOurs(call.url) || !isOurs(answer.url)) return undefined;
    if (!["GET", "HEAD"].includes(call.method.toUpperCase()) && withoutHash(answer.url) !== withoutHash(call.url)) return undefined;
    return curable.has(answer.header("Captcha-Outcome")) ? policies.get(answer.header("Captcha-Policy")) : undefined;
  }

  Object.assign(window, {
    // eslint-disable-next-line no-unused-vars -- the page may look at fetch.length
    async fetch(input) {
      let request = new Request(.../** @type {[Request]} */ (/** @type {unknown} */ (arguments)));
      if (!isOurs(request.url)) return fetch(request);
      const counts = waits();
      for (const tried = new Tries(); ;) {
        const spare = request.clone();
        const response = await fetch(request);
        const { status, url, headers } = response;
        const policy = refusedBy(request, { status, url, header: (name) => headers.get(name) });
        if (!policy && counts) attention.acted = now();
        if (!policy || !tried.may(policy) || !(await unlessAborted(request.signal, policy.join(counts)))) return response;
        response.body?.cancel();
        request = spare;
      }
    },
  });

  // How often one call asks for a clearance: once, or, where it is good for a
  // number of requests and so without a hint, again when others have used it up.
  class Tries {
    #made = new Map();

    may(policy) {
      const made = (this.#made.get(policy) ?? 0) + 1;
      this.#made.set(policy, made);
      return made === 1 || (made <= 3 && !policy.hinted);
    }
  }

  function unlessAborted(signal, { answer, leave }) {
    return new Promise((done, fail) => {
      const stop = () => {
        leave();
        fail(signal.reason);
      };
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop);
      answer.then(done).finally(() => signal.removeEventListener("abort", stop));
    });
  }

  // An XMLHttpRequest makes the refused call and its repetition; the page does
  // not get the events of the former, but for the progress of its upload. That
  // an upload has ended it hears when the answer's head shows which of the two
  // counts, and at once where a hint says that the call will pass. A synchronous
  // call cannot wait and is left alone.
  const { open, setRequestHeader, send, abort } = XMLHttpRequest.prototype;
  const eventTypes = ["readystatechange", "loadstart", "progress", "load", "error", "timeout", "abort", "loadend"];
  const calls = new WeakMap(); // XMLHttpRequest -> its call

  // The page's listeners run after ours when ours are the first, which is sure
  // only for a new object. A call with listeners for its upload is preflighted
  // on its way to another origin, so those wait until the page has use for
  // them, and go if the call leaves our origin.
  const uploadOf = getter(XMLHttpRequest, "upload");
  const uploads = new WeakMap(); // XMLHttpRequestUpload -> the listener

  window.XMLHttpRequest = new Proxy(XMLHttpRequest, {
    construct(...all) {
      const xhr = Reflect.construct(...all);
      for (const type of eventTypes) addEventListener.call(xhr, type, notice);
      return xhr;
    },
  });
  XMLHttpRequest.prototype.constructor = XMLHttpRequest;

  Object.defineProperty(XMLHttpRequest.prototype, "upload", {
    get() {
      const upload = uploadOf.call(this);
      if (!uploads.has(upload)) {
        const listener = (event) => {
          const call = calls.get(this);
          if (call && isUploadHidden(call, event)) event.stopImmediatePropagation();
        };
        uploads.set(upload, listener);
        for (const type of eventTypes) addEventListener.call(upload, type, listener);
      }
      return upload;
    },
  });

  Object.assign(XMLHttpRequest.prototype, {
    open(method, url) {
      const before = calls.get(this);
      const [, , isAsync, ...credentials] = arguments;
      if (arguments.length < 3 || isAsync) {
        calls.set(this, {
          method: String(method), url: resolve(url), credentials, headers: [], body: null,
          tried: new Tries(),
          counts: false, // a person waits for it
          policy: null, // what refused it, while it is hidden
          leave: () => {}, // gives up waiting for the person
          hidden: [], // the events the page did not get
          ended: [], // of its upload
          passes: false, // as far as hints say
          ours: false, // while we call open and send
          repeats: false,
        });
      } else {
        calls.delete(this);
      }
      try {
        open.apply(this, arguments);
      } catch (error) {
        calls.set(this, before);
        throw error;
      }
      before?.leave();
    },

    setRequestHeader(name, value) {
      setRequestHeader.apply(this, arguments);
      calls.get(this)?.headers.push([name, value]);
    },

    send(body = null) {
      const call = calls.get(this);
      if (call) {
        call.counts = waits();
        call.passes = [...policies.values()].every(({ hinted }) => hinted);
      }
      if (call && isOurs(call.url)) {
        call.body = copy(body);
      } else if (call) {
        const upload = uploadOf.call(this);
        for (const type of eventTypes) removeEventListener.call(upload, type, uploads.get(upload));
        uploads.delete(upload);
      }
      send.call(this, body);
    },

    /** @this {XMLHttpRequest} */
    abort() {
      const call = calls.get(this);
      if (call?.policy) {
        call.policy = null;
        call.leave();
        call.ended = []; // to the page it was under way
        // The browser takes a call that waits for the person as done, and
        // would not tell the page that it was aborted.
        if (this.readyState === XMLHttpRequest.DONE) start(this, call, "GET", src);
      }
      abort.call(this);
    },
  });

  function notice(event) {
    const call = calls.get(this);
    if (call && isHidden(this, call, event)) event.stopImmediatePropagation();
  }

  function isUploadHidden(call, event) {
    if (!event.isTrusted) return false;
    if (call.repeats && event.type === "loadstart") return true; // which the page has seen
    if (call.passes || !["load", "loadend"].includes(event.type)) return false;
    call.ended.push(event);
    return true;
  }

  // Lets the page hear that the upload has ended.
  function endUpload(xhr, call) {
    const ended = call.ended.splice(0);
    for (const event of ended) replay(uploadOf.call(xhr), event);
  }

  function replay(target, { type, lengthComputable, loaded, total }) {
    dispatchEvent.call(target, new ProgressEvent(type, { lengthComputable, loaded, total }));
  }

  function isHidden(xhr, call, event) {
    if (call.ours) return true;
    if (!call.policy && ["error", "timeout", "abort"].includes(event.type)) endUpload(xhr, call);
    if (event.type === "readystatechange" && xhr.readyState === XMLHttpRequest.HEADERS_RECEIVED) {
      const { status, responseURL: url } = xhr;
      const policy = refusedBy(call, { status, url, header: (name) => xhr.getResponseHeader(name) });
      if (policy && call.tried.may(policy)) {
        call.policy = policy;
      } else {
        endUpload(xhr, call);
        if (!policy && call.counts) attention.acted = now();
      }
    }
    if (!call.policy) return false;
    if (["error", "timeout", "abort"].includes(event.type)) { // the refusal broke off
      call.policy = null;
      dispatchEvent.call(xhr, new Event("readystatechange"));
      return false;
    }
    if (event.type !== "readystatechange") call.hidden.push(event);
    if (event.type === "loadend") repeat(xhr, call);
    return true;
  }

  async function repeat(xhr, call) {
    const { policy } = call;
    const { answer, leave } = policy.join(call.counts);
    call.leave = leave;
    const passed = await answer;
    if (calls.get(xhr) !== call || call.policy !== policy) return; // aborted or opened anew
    call.policy = null;
    if (passed) {
      call.hidden = [];
      call.ended = [];
      start(xhr, call, call.method, call.url, call.credentials, call.headers, call.body);
      return;
    }
    endUpload(xhr, call);
    dispatchEvent.call(xhr, new Event("readystatechange"));
    for (const hidden of call.hidden) {
      if (calls.get(xhr) === call) replay(xhr, hidden);
    }
  }

  // Starts a call that the page takes for the one under way: it has seen that
  // one begin and send its body.
  function start(xhr, call, method, url, credentials = [], headers = [], body = null) {
    call.ours = call.repeats = true;
    try {
      open.call(xhr, method, url, true, ...credentials);
      for (const [name, value] of headers) setRequestHeader.call(xhr, name, value);
      send.call(xhr, body);
    } finally {
      call.ours = false;
    }
  }

  // The page may change what it has sent.
  function copy(body) {
    if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return new Blob([/** @type {BlobPart} */ (body)]); // neither has a type
    if (body instanceof URLSearchParams) return new URLSearchParams(body);
    if (body instanceof Document) return body.cloneNode(true);
    if (!(body instanceof FormData)) return body;
    const data = new FormData();
    for (const [name, value] of body) data.append(name, value);
    return data;
  }
