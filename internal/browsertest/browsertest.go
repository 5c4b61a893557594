// Package browsertest runs tests in a headless Chromium. A test binary starts
// one browser, at its first use; each test gets a tab with cookies, cache and
// storage of its own. Whatever host name a page asks for, the browser connects
// to the loopback interface, so tests may serve under any name.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
	"github.com/caddycaptcha/caddycaptcha/internal/testenv"
)

const patience = 3 * time.Minute // ends only what hangs

var browser struct {
	sync.Mutex
	ctx     context.Context
	err     error
	started bool
	main    bool
}

// Main runs the tests of a package that uses the browser, closes the browser,
// and fails if a goroutine is left. Call it from TestMain; it does not return.
func Main(m *testing.M) {
	os.Exit(leaktest.Check(Run(m)))
}

// Run is Main for a package that leaves goroutines on purpose. It returns the
// code to exit with.
func Run(m *testing.M) int {
	browser.main = true
	code := m.Run()
	if browser.ctx != nil {
		if err := chromedp.Cancel(browser.ctx); err != nil {
			fmt.Fprintln(os.Stderr, "closing Chromium:", err)
			code = max(code, 1)
		}
	}
	return code
}

// New opens an empty tab, closed at the end of the test, and returns its
// chromedp context. Where there is no browser the test is skipped, or fails,
// as package testenv says.
func New(t testing.TB) context.Context {
	t.Helper()
	parent, err := start(testenv.Need(t, "chromium"))
	if err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	tab := &tab{}
	ctx, closeTab := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.note))
	t.Cleanup(closeTab)
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, tabKey{}, tab), patience)
	t.Cleanup(cancel)
	tab.closeDialogs = func() {
		// The page waits for its dialog, and this func for the page's events.
		go func() {
			_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab in Chromium: %v", err)
	}
	return ctx
}

func start(executable string) (context.Context, error) {
	browser.Lock()
	defer browser.Unlock()
	if !browser.main {
		return nil, errors.New("the package needs func TestMain(m *testing.M) { browsertest.Main(m) }, which closes the browser")
	}
	if !browser.started {
		browser.started = true
		// Main cancels the browser, which the allocator's end would only kill.
		allocator, _ := chromedp.NewExecAllocator(context.Background(), options(executable)...) //nolint:gosec
		ctx, _ := chromedp.NewContext(allocator)                                                //nolint:gosec
		browser.err = chromedp.Do(ctx)
		if browser.err == nil {
			browser.ctx = ctx
		}
	}
	return browser.ctx, browser.err
}

func options(executable string) []chromedp.ExecAllocatorOption {
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(executable),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors,
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
		// A frame of another site stays in the tab's process, or what it
		// reports would not reach the tab's listener.
		chromedp.Flag("disable-site-isolation-trials", true),
		chromedp.Flag("disable-features", "Translate,BlinkGenPropertyTrees,IsolateOrigins,site-per-process"),
	)
}

// A tab collects what went wrong in its documents.
type tab struct {
	mu           sync.Mutex
	problems     []string
	closeDialogs func()
}

type tabKey struct{}

// Problems returns what the tab's documents and frames have reported so far:
// console errors ("console: …"), uncaught exceptions and unhandled rejections
// ("exception: …"), violations of a Content-Security-Policy and the like
// ("security: …"), other errors of the browser ("javascript: …" and so on),
// and the text of alerts, which are closed at once ("alert: …"). A resource
// that could not be loaded is none: tests refuse many on purpose.
func Problems(ctx context.Context) []string {
	tab := ctx.Value(tabKey{}).(*tab)
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.problems...)
}

func (t *tab) note(event any) {
	switch event := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if event.Type == "error" || event.Type == "assert" {
			text := make([]string, 0, len(event.Args))
			for _, arg := range event.Args {
				text = append(text, strings.Trim(string(arg.Value), `"`)+arg.Description)
			}
			t.add("console", strings.Join(text, " "))
		}
	case *runtime.EventExceptionThrown:
		details := event.ExceptionDetails
		text := details.Text
		if details.Exception != nil {
			text += " " + details.Exception.Description + string(details.Exception.Value)
		}
		t.add("exception", text)
	case *log.EventEntryAdded:
		entry := event.Entry
		if entry.Source == log.EntrySourceSecurity || entry.Level == log.EntryLevelError && entry.Source != log.EntrySourceNetwork {
			t.add(string(entry.Source), entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		t.add(string(event.Type), event.Message)
		t.closeDialogs()
	}
}

func (t *tab) add(kind, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problems = append(t.problems, kind+": "+text)
}
