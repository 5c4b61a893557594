package browsertest

import (
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestMain(m *testing.M) { Main(m) }

func serve(t *testing.T, html string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "script-src 'nonce-a'")
		if _, err := w.Write([]byte("<!doctype html><html lang=" + r.Header.Get("Accept-Language") + ">" + html)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestProblemsAreCollected(t *testing.T) {
	url := serve(t, `<script nonce=a>
		console.error("told", 1);
		console.log("chatter");
		alert("stop");
		Promise.reject(new Error("unhandled"));
		setTimeout(() => { window.last = true; throw new TypeError("thrown") });
		</script><script>foreign()</script><img src="/missing">`)
	ctx := New(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(url), Await("window.last && document.readyState === 'complete'")); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(Problems(ctx), "\n")
	for _, want := range []string{"console: told 1", "alert: stop", "exception: Uncaught (in promise) Error: unhandled", "exception: Uncaught TypeError: thrown", "security: Executing inline script violates"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Contains(got, "chatter") {
		t.Errorf("got %q, want no plain log", got)
	}
}

func TestTabsShareNothing(t *testing.T) {
	url := serve(t, "")
	first, second := New(t), New(t)
	if err := chromedp.Do(first, chromedp.Navigate(url), Await("document.cookie = localStorage.a = 'b'")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(second, chromedp.Navigate(url), Await("document.cookie === '' && !localStorage.a")); err != nil {
		t.Fatal(err)
	}
	if got := Problems(second); len(got) != 0 {
		t.Errorf("got %q, want no problems", got)
	}
}

// TestOpenArrives although the tab goes elsewhere meanwhile.
func TestOpenArrives(t *testing.T) {
	asked := make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/wait":
			select {
			case <-asked:
			case <-r.Context().Done():
			}
		case "/target":
			first := false
			once.Do(func() { first = true })
			if first {
				close(asked)
				<-r.Context().Done() // the page's own navigation ends it
				return
			}
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>"+r.URL.Path+"</title>")
	}))
	t.Cleanup(server.Close)
	ctx := New(t)
	// Without a key pressed, a page may not replace where the person goes.
	if err := chromedp.Do(ctx, Open(server.URL+"/"), Await(`addEventListener("keydown", () => { document.body.pressed = true }) === undefined`),
		chromedp.KeyEvent("a"), Await("document.body.pressed"), Await(`fetch("/wait").then(() => { location = "/other" })`),
		Open(server.URL+"/target"), Await("document.title === '/target'")); err != nil {
		t.Fatal(err)
	}
}

func TestViews(t *testing.T) {
	url := strings.Replace(serve(t, "<style>body { background: #fff } @media (prefers-color-scheme: dark) { body { background: #000 } }</style>"), "127.0.0.1", "www.example.com", 1)
	file := filepath.Join(t.TempDir(), "phone.png")
	view := View{Width: 320, Height: 480, Phone: true, Scheme: "dark", Language: "zh-TW", ReducedMotion: true}
	if err := chromedp.Do(New(t), Emulate(view), chromedp.Navigate(url),
		Await("document.documentElement.lang === 'zh-TW' && matchMedia('(prefers-reduced-motion)').matches"), Screenshot(file)); err != nil {
		t.Fatal(err)
	}
	shot, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer shot.Close()
	image, err := png.Decode(shot)
	if err != nil {
		t.Fatal(err)
	}
	if size := image.Bounds().Size(); size.X != 640 || size.Y != 960 {
		t.Errorf("got %v, want 640 x 960", size)
	}
	if r, g, b, _ := image.At(9, 9).RGBA(); r+g+b != 0 {
		t.Error("the page is not dark")
	}
}
