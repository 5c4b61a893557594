package browser

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"sync"
)

// Widget is what browsers get of one provider's widget: the widget page, with
// its script in each language. Its methods are safe for concurrent use.
type Widget struct {
	scripts map[string]*Script
	files   map[string]*Script // of the widget's own, by their kinds
	urls    map[string]string  // of the same, under the base path, by their names
	sources map[string][]string
}

//go:embed widget.html
var widgetPage string

// widgetTemplate is no template of operators': its page is the only one with a
// provider's script. The tests show that there is no error.
var widgetTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(parse("widget.html", widgetPage))
})

// NewWidget returns the widget of an adapter, which is a script as
// verifier.Challenger describes it. The widget loads from sources, by CSP
// directive, and files are scripts of its own.
func NewWidget(adapter string, sources map[string][]string, files map[string][]byte) *Widget {
	w := &Widget{
		scripts: inEachLanguage("widget", []byte(adapter), slim(widgetSource)),
		files:   make(map[string]*Script, len(files)),
		urls:    make(map[string]string, len(files)),
		sources: sources,
	}
	for name, content := range files {
		kind := strings.TrimSuffix(name, ".js")
		w.files[kind] = newScript(kind, content)
		w.urls[name] = w.files[kind].Name
	}
	return w
}

// WidgetData is what the widget page is about.
type WidgetData struct {
	// Lang, Nonce, Base and Policy are as in Data.
	Lang, Nonce, Base, Policy string

	// Provider is whose widget it is.
	Provider string

	// Cleared is true when this browser has a valid clearance already. Reason
	// says why it has none.
	Cleared bool
	Reason  string
}

// widgetView is what the template of the widget page gets.
type widgetView struct {
	WidgetData
	widget *Widget
}

func (v widgetView) script() *Script         { return inLanguage(v.widget.scripts, v.Lang) }
func (v widgetView) Script() string          { return v.Base + "/" + v.script().Name }
func (v widgetView) Integrity() string       { return v.script().Integrity }
func (v widgetView) Text() map[string]string { return textIn(v.Lang) }

func (v widgetView) Settings() (string, error) {
	files := make(map[string]string, len(v.widget.urls))
	for name, file := range v.widget.urls {
		files[name] = v.Base + "/" + file
	}
	return asJSON(struct {
		Lang     string            `json:"lang"`
		Base     string            `json:"base"`
		Policy   string            `json:"policy"`
		Provider string            `json:"provider"`
		Files    map[string]string `json:"files"`
		Reason   string            `json:"reason"`
		Cleared  bool              `json:"cleared"`
	}{v.Lang, v.Base, v.Policy, v.Provider, files, v.Reason, v.Cleared})
}

// Render returns the widget page.
func (w *Widget) Render(data WidgetData) ([]byte, error) {
	return render(widgetTemplate(), widgetView{data, w})
}

// SetHeader sets the fields of an answer that is the widget page.
func (w *Widget) SetHeader(header http.Header, nonce string) {
	p := bounds(nonce)
	p["connect-src"] = []string{"'self'"}
	p.admit(w.sources)
	// Providers may look at the origin that shows their widget.
	setHeader(header, p, "strict-origin")
}
