package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/browsertest"
)

// As for forms: the page and the application must not be able to tell a call
// that was made twice from one that the gate let through.
var fetches = []struct {
	name     string
	captchas int
	script   string
}{
	{"string", 1, `return answer(await fetch("/login?a=b"))`},
	{"URL", 1, `return answer(await fetch(new URL("/login", location), { method: "PUT", body: "text", headers: { "X-App": "yes", "Content-Type": "a/b" } }))`},
	{"request", 1, `return answer(await fetch(new Request("/login", { method: "POST", body: '{"a": 1}', headers: { "Content-Type": "application/json" } })))`},
	{"request that is used up", 1, `const request = new Request("/login", { method: "POST", body: "a" });
		const answers = [await answer(await fetch(request)), request.bodyUsed];
		return answers.concat(await fetch(request).catch((error) => error.name))`},
	{"request with overrides", 1, `return answer(await fetch(new Request("/open", { method: "POST", body: "a" }), { body: "b", headers: [["X-App", "1"], ["X-App", "2"]] }) && await fetch(new Request("/login", { method: "POST", body: "a" }), { body: "b", method: "PATCH" }))`},
	{"relative to the base at the time of the call", 1, `const call = fetch("login"); history.replaceState(0, "", "/elsewhere/x"); return answer(await call)`},
	{"blob", 1, `return answer(await fetch("/login", { method: "POST", body: new Blob(["a\r\n\u738b"], { type: "x/y" }) }))`},
	{"form data with a file", 1, `const body = new FormData(); body.append("a", "b\nc"); body.append("f", new File(["\0\u00ff"], "n\"ame.txt", { type: "x/y" }));
		const call = fetch("/login", { method: "POST", body }); body.append("late", "x"); return answer(await call)`},
	{"search parameters", 1, `const body = new URLSearchParams("a=1&a=2"); const call = fetch("/login", { method: "POST", body }); body.append("late", "x"); return answer(await call)`},
	{"bytes", 1, `const body = new Uint8Array([0, 255, 13, 10]); const call = fetch("/login", { method: "POST", body }); body.fill(7); return answer(await call)`},
	{"stream", 1, `let n = 0; const body = new ReadableStream({ pull(c) { n < 100 ? c.enqueue(new TextEncoder().encode("chunk " + n++ + "\n")) : c.close() } });
		return answer(await fetch("/login", { method: "POST", body, duplex: "half" }))`},
	{"stream of a request", 1, `const body = new Blob(["a".repeat(300000)]).stream(); return answer(await fetch(new Request("/login", { method: "POST", body, duplex: "half" })))`},
	{"modes", 1, `return answer(await fetch("/login", { mode: "same-origin", credentials: "include", redirect: "error", keepalive: true, method: "POST", body: "a", cache: "no-store", referrer: "/app?x", priority: "high", integrity: "" }))`},
	{"several at once", 1, `return (await Promise.all([1, 2, 3].map((n) => fetch("/login", { method: "POST", body: "a" })))).map(({ status }) => status)`},
	{"two policies", 2, `return answer(await fetch("/both", { method: "POST", body: "a" }))`},
	{"wrapped by the page", 1, `const before = fetch; const log = []; window.fetch = async (...all) => { log.push("out"); const got = await before(...all); log.push(got.status); return got };
		return [await answer(await fetch("/login")), log]`},
	{"no such method", 0, `return fetch("/login", { method: "TRACE" })`},
	{"aborted before", 0, `return fetch("/login", { signal: AbortSignal.abort(new Error("mine")) }).catch((error) => error.message)`},
	{"no URL", 0, `return fetch("http://:x").catch((error) => error.name)`},
	{"no arguments", 0, `return fetch().catch((error) => error.name)`},
}

// The scripts' own words.
const words = `<button id="call">Call</button><script>
	const answer = async (got) => JSON.stringify([got.status, got.type, got.ok, got.redirected, new URL(got.url).pathname, await got.text()]);
	const make = (script) => script().catch((error) => error.name).then((got) => { note(got); window.finished = true });
</script>`

// run makes the calls of a person who has pressed a button, and waits for what
// comes of it.
func run(script string) action {
	return chromedp.Steps(js("call.onclick = () => make(async () => {"+script+"}), 0"), click("#call"))
}

func TestRefusedFetchIsRepeatedUnseen(t *testing.T) {
	for _, test := range fetches {
		t.Run(test.name, func(t *testing.T) { playCall(t, (*gated).startTLS, test.captchas, test.script) })
	}
}

func TestBodiesAreNoStreamsOverHTTP1(t *testing.T) {
	playCall(t, (*gated).start, 1, `for (const body of ["a", new Blob(["b"]), new URLSearchParams("c"), new Uint8Array(9)]) note(await answer(await fetch("/login", { method: "POST", body })));
		return answer(await fetch(new Request("/login", { method: "POST", body: "d" })))`)
}

// playCall makes calls in the bare application and in the gated one, where it
// solves the captchas, and compares.
func playCall(t *testing.T, start func(*gated) *gated, captchas int, script string) {
	play := func(captchas int, policies ...string) (received []string, noted string) {
		g := start(serveApp(t, &gated{policies: policies, body: words + xhrWords}))
		ctx := g.open(t, run(script))
		for n := range captchas {
			do(t, ctx, g.solve(n+1))
		}
		do(t, ctx, browsertest.Await("window.finished && !("+shown+")"))
		expectNoProblems(t, ctx)
		if got := g.count(&g.pages); got != captchas {
			t.Errorf("%d challenge pages, want %d", got, captchas)
		}
		return g.requests(), notes(t, ctx)
	}
	wantReceived, wantNoted := play(0)
	gotReceived, gotNoted := play(captchas, "login", "pay")
	expectEqual(t, "received", gotReceived, wantReceived)
	expectEqual(t, "seen by the page", gotNoted, wantNoted)
	if wantNoted == "" {
		t.Error("the page saw nothing")
	}
}

// otherCalls have answers of their own: here the script must not do what it
// does for others, or cannot hide that it did.
var otherCalls = []struct {
	name     string
	uses     int    // of a clearance
	outcome  string // of refusals
	script   string
	act      func(*gated) action // when the page has called
	want     string
	received int
	pages    int
}{
	{
		name: "given up", script: `const got = await fetch("/login"); return [got.status, got.headers.get("Captcha-Outcome"), await got.text()]`,
		act: func(g *gated) action { return g.giveUp(1) }, want: `403,missing,{"outcome": "missing"}`, pages: 1,
	},
	{
		name: "aborted while the dialog is open", script: `window.controller = new AbortController(); return fetch("/login", controller).catch((error) => error.message)`,
		act: func(g *gated) action { return chromedp.Steps(g.asked(1), js(`controller.abort(new Error("mine"))`)) }, want: "mine", pages: 1,
	},
	{
		name: "refused again", uses: 1, script: `const all = await Promise.all([1, 2, 3].map(() => fetch("/login"))); return all.map(({ status }) => status).sort()`,
		act: func(g *gated) action { return chromedp.Steps(g.solve(1), g.solve(2), g.solve(3)) }, want: "200,200,200", received: 3, pages: 3,
	},
	{
		name: "XHR refused again", uses: 1, script: `const all = await Promise.all([1, 2].map(() => xhr("GET", "/login"))); return all.map((log) => log.replace("<title>received</title>GET 0 null", "").replace('{"outcome": "missing"} missing', "")).sort()`,
		act: func(g *gated) action { return chromedp.Steps(g.solve(1), g.solve(2)) }, received: 2, pages: 2,
		want: "readystatechange1 loadstart readystatechange2 readystatechange3 progress readystatechange4 load loadend 200 ,readystatechange1 loadstart readystatechange2 readystatechange3 progress readystatechange4 load loadend 200",
	},
	{name: "an outcome no captcha cures", outcome: "overloaded", script: `return (await fetch("/login")).status`, want: "403"},
	{name: "a policy of another page", script: `return (await fetch("/pay")).status`, want: "403"},
	{
		name: "the application says it", script: `return (await fetch("/forged", { method: "POST", body: "a" })).status`,
		act: func(g *gated) action { return g.solve(1) }, want: "403", received: 2, pages: 1,
	},
	{name: "no refusal", script: `return [(await fetch("/served")).status, (await xhr("GET", "/served")).split(" ").at(-3)]`, want: "200,200", received: 2},
	{name: "another origin says it", script: `return (await fetch("https://other.test:" + location.port + "/forged")).headers.get("Captcha-Policy")`, want: "login", received: 1},
	{name: "another origin was redirected here", script: `return (await fetch("https://other.test:" + location.port + "/there?to=" + location.origin + "/forged").catch(() => 0)).status`, want: "403", received: 2},
	{name: "redirected to another origin", script: `return (await fetch("/there?to=https://other.test:" + location.port + "/forged")).status`, want: "403", received: 2},
	{name: "redirected after the application acted", script: `return (await fetch("/there?to=/login", { method: "POST", body: "order" })).status`, want: "403", received: 1},
	{
		name: "redirected without a change", script: `const got = await fetch("/there?to=/login"); return [got.status, got.redirected]`,
		act: func(g *gated) action { return g.solve(1) }, want: "200,true", received: 3, pages: 1,
	},
	{name: "opaque redirect", script: `return (await fetch("/there?to=/login", { redirect: "manual" })).type`, want: "opaqueredirect", received: 1},
	{
		name: "XHR given up", script: `return xhr("GET", "/login")`, act: func(g *gated) action { return g.giveUp(1) }, pages: 1,
		want: `readystatechange1 loadstart readystatechange4 progress load loadend 403 {"outcome": "missing"} missing`,
	},
	{
		name: "XHR aborted while the dialog is open", script: `return xhr("POST", "/login", "a")`, pages: 1,
		act:  func(g *gated) action { return chromedp.Steps(g.asked(1), js(`last.abort()`)) },
		want: `readystatechange1 loadstart upload-loadstart upload-progress readystatechange4 upload-abort upload-loadend abort loadend 0  null`,
	},
	{
		name: "XHR opened anew while the dialog is open", script: `return xhr("POST", "/login", "a")`, pages: 1, received: 1,
		act: func(g *gated) action {
			return chromedp.Steps(g.asked(1), js(`last.open("GET", "/open")`), g.solve(1), g.hearsThatItIsLate(), js(`last.send()`))
		},
		want: `readystatechange1 loadstart upload-loadstart upload-progress readystatechange1 loadstart readystatechange2 readystatechange3 progress readystatechange4 load loadend 200 <title>received</title>GET 0 null`,
	},
	{name: "synchronous XHR", script: `const x = new XMLHttpRequest(); x.open("GET", "/login", false); x.send(); return [x.status, x.getResponseHeader("Captcha-Outcome")]`, want: "403,missing"},
	{
		name: "XHR of another origin, without a preflight", received: 1, want: "403 login",
		script: `return new Promise((done) => { const x = new XMLHttpRequest(); x.upload; x.open("POST", "https://other.test:" + location.port + "/forged");
			x.onload = () => done(x.status + " " + x.getResponseHeader("Captcha-Policy")); x.send("a") })`,
	},
	{
		name: "XHR of another origin was redirected here", received: 2, want: "403",
		script: `return new Promise((done) => { const x = new XMLHttpRequest(); x.open("GET", "https://other.test:" + location.port + "/there?to=" + location.origin + "/forged"); x.onloadend = () => done(x.status); x.send() })`,
	},
	{
		name: "XHR redirected after the application acted", script: `return xhr("POST", "/there?to=/login", "order")`, received: 1,
		want: `readystatechange1 loadstart upload-loadstart upload-progress upload-load upload-loadend readystatechange2 readystatechange3 progress readystatechange4 load loadend 403 {"outcome": "missing"} missing`,
	},
}

func TestOtherCalls(t *testing.T) {
	for _, test := range otherCalls {
		t.Run(test.name, func(t *testing.T) {
			g := serveApp(t, &gated{policies: []string{"login", "pay"}, unknown: "pay", uses: test.uses, outcome: test.outcome, body: words + xhrWords}).startTLS()
			ctx := g.open(t, run(test.script))
			if test.act != nil {
				do(t, ctx, test.act(g))
			}
			do(t, ctx, browsertest.Await("window.finished"))
			expectEqual(t, "seen by the page", strings.TrimSpace(notes(t, ctx)), test.want)
			if got := g.requests(); len(got) != test.received {
				t.Errorf("received %q, want %d requests", got, test.received)
			}
			if got := g.count(&g.pages); got != test.pages {
				t.Errorf("%d challenge pages, want %d", got, test.pages)
			}
			expectNoProblems(t, ctx)
		})
	}
}
