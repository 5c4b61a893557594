package browser_test

import (
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// xhr makes a call and returns the events that the page sees.
const xhrWords = `<script>
	const watch = (x, log, done) => {
		const add = (name) => { if (log.at(-1) !== name || !name.endsWith("progress")) log.push(name) };
		for (const type of ["loadstart", "progress", "load", "error", "timeout", "abort", "loadend"]) {
			x.upload.addEventListener(type, () => add("upload-" + type));
			x.addEventListener(type, () => add(type));
		}
		x.onreadystatechange = () => add("readystatechange" + x.readyState);
		x.addEventListener("loadend", () => done(log.concat(x.status, x.responseType ? x.response?.constructor.name ?? "" : x.responseText, String(x.getResponseHeader("Captcha-Outcome"))).join(" ")));
	};
	const xhr = (method, url, body, change = () => {}) => new Promise((done) => {
		const x = window.last = new XMLHttpRequest();
		watch(x, [], done);
		x.open(method, url);
		change(x);
		x.send(body);
	});
</script>`

var xhrs = []struct {
	name     string
	captchas int
	script   string
}{
	{"get", 1, `return xhr("GET", "/login?a=b")`},
	{"string", 1, `return xhr("POST", "/login", "text")`},
	{"no body", 1, `return xhr("POST", "/login")`},
	{"headers", 1, `return xhr("put", "/login", "text", (x) => { x.setRequestHeader("X-App", "1"); x.setRequestHeader("x-app", "2"); x.setRequestHeader("Content-Type", "a/b") })`},
	{"form data with a file", 1, `const body = new FormData(); body.append("a", "b\nc"); body.append("f", new File(["\0\u00ff"], "n.txt", { type: "x/y" }));
		const call = xhr("POST", "/login", body); body.append("late", "x"); return call`},
	{"search parameters", 1, `const body = new URLSearchParams("a=1&a=2"); const call = xhr("POST", "/login", body); body.append("late", "x"); return call`},
	{"bytes", 1, `const body = new Uint8Array([9, 0, 255, 13, 10, 9]).subarray(1, 5); const call = xhr("POST", "/login", body); body.fill(7); return call`},
	{"buffer", 1, `const body = new Uint8Array([0, 255, 13]).buffer; const call = xhr("POST", "/login", body); new Uint8Array(body).fill(7); return call`},
	{"blob", 1, `return xhr("POST", "/login", new Blob(["a"], { type: "x/y" }))`},
	{"document", 1, `const body = document.implementation.createHTMLDocument("t"); const call = xhr("POST", "/login", body); body.title = "late"; return call`},
	{"xml", 1, `return xhr("POST", "/login", new DOMParser().parseFromString("<a>b</a>", "text/xml"))`},
	{"response types", 1, `const all = []; for (const type of ["arraybuffer", "blob", "document", "json", "text"]) all.push(await xhr("GET", "/login", null, (x) => { x.responseType = type })); return all`},
	{"type of the answer", 1, `return xhr("GET", "/login", null, (x) => { x.overrideMimeType("text/xml; charset=utf-8"); x.addEventListener("load", () => note(x.responseXML?.documentElement.outerHTML)) })`},
	{"credentials and timeout", 1, `return xhr("GET", "/login", null, (x) => { x.withCredentials = true; x.timeout = 60000; x.addEventListener("load", () => note(x.withCredentials, x.timeout, new URL(x.responseURL).pathname)) })`},
	{"relative to the base at the time of the call", 1, `const call = xhr("GET", "login"); history.replaceState(0, "", "/elsewhere/x"); return call`},
	{"clobbered base", 1, `document.body.innerHTML = "<img name=baseURI>"; return xhr("POST", "login", "a")`},
	{"used again", 1, `const x = new XMLHttpRequest(); const log = []; const again = () => new Promise((done) => { x.onloadend = () => { log.push(x.status, x.responseText); done() } });
		x.open("POST", "/login"); x.send("one"); await again(); x.open("POST", "/login"); x.setRequestHeader("X-App", "y"); x.send("two"); await again(); return log`},
	{"opened twice", 1, `const x = new XMLHttpRequest(); x.open("POST", "/open"); x.setRequestHeader("X-App", "y"); x.open("POST", "/login"); return new Promise((done) => { watch(x, [], done); x.send("a") })`},
	{"listeners before open", 1, `const x = new XMLHttpRequest(); const log = []; x.onload = () => log.push("property"); x.addEventListener("load", () => log.push("listener")); x.onprogress = ({ loaded }) => log.push(loaded);
		x.open("GET", "/login"); x.addEventListener("load", () => log.push("late")); return new Promise((done) => { x.onloadend = () => done(log); x.send() })`},
	{"methods wrapped by the page", 1, `const log = []; for (const name of ["open", "send", "setRequestHeader"]) { const before = XMLHttpRequest.prototype[name]; XMLHttpRequest.prototype[name] = function (...all) { log.push(name); return before.apply(this, all) } }
		return [await xhr("POST", "/login", "a", (x) => x.setRequestHeader("X-App", "y")), log]`},
	{"subclass", 1, `class Mine extends XMLHttpRequest {} const x = new Mine(); return new Promise((done) => { watch(x, [], done); x.open("GET", "/login"); x.send() })`},
	{"several at once", 1, `return Promise.all([1, 2, 3].map(() => xhr("POST", "/login", "a")))`},
	{"two policies", 2, `return xhr("POST", "/both", "a")`},
	{"sent when opened", 1, `const x = new XMLHttpRequest(); const log = []; x.onreadystatechange = () => { log.push(x.readyState); if (x.readyState === 1) x.send("a") };
		return new Promise((done) => { x.onload = () => done(log.concat(x.status)); x.open("POST", "/login") })`},
	{"misuse", 0, `const x = new XMLHttpRequest(); const log = []; const attempt = (f) => { try { f(); log.push("fine") } catch (error) { log.push(error.name) } };
		attempt(() => x.send()); attempt(() => x.setRequestHeader("a", "b")); attempt(() => x.open("TRACE", "/")); attempt(() => x.open("GET")); attempt(() => x.open("GET", "http://:x")); attempt(() => x.abort());
		attempt(() => XMLHttpRequest.prototype.open.call({}, "GET", "/")); attempt(() => x.open("GET", "/open")); attempt(() => x.setRequestHeader("\n", "")); return log`},
	{"aborted at once", 0, `return new Promise((done) => { const x = new XMLHttpRequest(); watch(x, [], done); x.open("POST", "/favicon.ico"); x.send("a"); x.abort() })`},
}

func TestRefusedXMLHttpRequestIsRepeatedUnseen(t *testing.T) {
	for _, test := range xhrs {
		t.Run(test.name, func(t *testing.T) { playCall(t, (*gated).startTLS, test.captchas, test.script) })
	}
}

// TestUploadsShowTheirProgress, to the end, of the call that counts: also when
// the gate has refused a first one.
func TestUploadsShowTheirProgress(t *testing.T) {
	playCall(t, (*gated).startTLS, 1, `const x = new XMLHttpRequest(); let last; const log = []; const size = 4 << 20;
		x.upload.onprogress = ({ loaded, total, lengthComputable }) => { last = [loaded === total, total === size, lengthComputable] };
		for (const type of ["loadstart", "load", "loadend"]) x.upload.addEventListener(type, ({ loaded }) => log.push(type, loaded === size, String(last)));
		x.onreadystatechange = () => log.push(x.readyState);
		return new Promise((done) => { x.onload = () => done(log.concat(x.status, x.responseText)); x.open("POST", "/login"); x.send(new Blob([new Uint8Array(size)])) })`)
}

// TestAnUploadThatIsGivenUpHasEnded, too.
func TestAnUploadThatIsGivenUpHasEnded(t *testing.T) {
	g := serveApp(t, &gated{policies: []string{"login"}, body: words + xhrWords}).startTLS()
	ctx := g.open(t, run(`return xhr("POST", "/login", "a")`), g.giveUp(1), browsertest.Await("window.finished"))
	expectEqual(t, "seen by the page", strings.TrimSpace(notes(t, ctx)),
		`readystatechange1 loadstart upload-loadstart upload-progress upload-load upload-loadend readystatechange4 progress load loadend 403 {"outcome": "missing"} missing`)
}
