package extract

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

func TestStripRemovesTheProofFromTheQueryAndNothingElse(t *testing.T) {
	for target, want := range map[string]string{
		"/":                            "/",
		"/?":                           "/?",
		"/a%2Fb?x=%zz&&y=+&;z":         "/a%2Fb?x=%zz&&y=+&;z",
		"/?ticket=t&randstr=r":         "/",
		"/?x=1&ticket=t&y=2&randstr=r": "/?x=1&y=2",
		"/a%2Fb?ticket=t&x=%7e&&y":     "/a%2Fb?x=%7e&&y",
		"/?tic%6bet=1&ticket&ticket=3": "/",
		"/?ticket=%zz&x=%zz":           "/?x=%zz",
		"/?tickets=1&x=ticket":         "/?tickets=1&x=ticket",
		"/?x=1&ticket=t&":              "/?x=1&",
	} {
		t.Run(target, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, target, nil)
			New(parameters, nil, bodyLimit).Strip(r, []Source{Query})
			if r.RequestURI != want || r.URL.RequestURI() != want {
				t.Errorf("RequestURI is %q, URL %q; want %q", r.RequestURI, r.URL.RequestURI(), want)
			}
		})
	}
}

func TestStripQueryWorksOnTheRewrittenURL(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/login?ticket=t&x=1", nil)
	r.URL.Path, r.RequestURI = "/index.php", "/index.php?ticket=t&x=1"
	New(parameters, nil, bodyLimit).Strip(r, []Source{Query})
	if want := "/index.php?x=1"; r.RequestURI != want || r.URL.RequestURI() != want {
		t.Errorf("RequestURI is %q, URL %q", r.RequestURI, r.URL.RequestURI())
	}
}

func TestStripRemovesTheProofsCookiesAndNoOthers(t *testing.T) {
	for name, test := range map[string]struct{ lines, want []string }{
		"none":      {nil, nil},
		"others":    {[]string{"a=1;b=2 ;  c", "", ";"}, []string{"a=1;b=2 ;  c", "", ";"}},
		"first":     {[]string{"ticket=t; a=1; b=2"}, []string{"a=1; b=2"}},
		"middle":    {[]string{`a="1"; ticket=t; b=2`}, []string{`a="1"; b=2`}},
		"last":      {[]string{"a=1;b=2; randstr=r"}, []string{"a=1;b=2"}},
		"all":       {[]string{"ticket=t; randstr=r; ticket"}, nil},
		"one line":  {[]string{"ticket=t", "a=1"}, []string{"a=1"}},
		"no spaces": {[]string{"ticket=t;a=1;randstr=r;b=2"}, []string{"a=1;b=2"}},
		"lookalike": {[]string{"tickets=1; Ticket=2; x=ticket"}, []string{"tickets=1; Ticket=2; x=ticket"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if test.lines != nil {
				r.Header["Cookie"] = test.lines
			}
			New(parameters, nil, bodyLimit).Strip(r, []Source{Cookie})
			if got := r.Header["Cookie"]; !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if _, there := r.Header["Cookie"]; there != (test.want != nil) {
				t.Error("an empty Cookie header is left")
			}
		})
	}
}

func TestStripRemovesTheProofsHeadersAndOnlyFromTheNamedSources(t *testing.T) {
	newRequest := func() *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/?ticket=t", nil)
		r.Header = http.Header{
			"Captcha-Ticket": {"t", "t"}, "Captcha-Randstr": {"r"}, "Captcha-Other": {"o"},
			"Cookie": {"ticket=t"}, "X": {"1", "2"},
		}
		return r
	}
	e := New(parameters, nil, bodyLimit)

	r := newRequest()
	e.Strip(r, []Source{Header})
	want := http.Header{"Captcha-Other": {"o"}, "Cookie": {"ticket=t"}, "X": {"1", "2"}}
	if !reflect.DeepEqual(r.Header, want) || r.RequestURI != "/?ticket=t" {
		t.Errorf("got %v, %s", r.Header, r.RequestURI)
	}

	r = newRequest()
	e.Strip(r, []Source{Header, Query, Cookie})
	want = http.Header{"Captcha-Other": {"o"}, "X": {"1", "2"}}
	if !reflect.DeepEqual(r.Header, want) || r.RequestURI != "/" {
		t.Errorf("got %v, %s", r.Header, r.RequestURI)
	}

	for _, sources := range [][]Source{nil, {Form, JSON}} {
		r = newRequest()
		e.Strip(r, sources)
		if !reflect.DeepEqual(r.Header, newRequest().Header) || r.RequestURI != "/?ticket=t" {
			t.Errorf("%v: got %v, %s", sources, r.Header, r.RequestURI)
		}
	}
}
