package extract

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddycaptcha/caddycaptcha/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const bodyLimit = 512

var (
	parameters = []Parameter{
		{Name: "ticket", Fields: []string{"ticket"}, Header: "captcha-ticket", MaxLength: 16},
		{Name: "randstr", Fields: []string{"randstr"}, Header: "Captcha-Randstr", MaxLength: 8},
	}
	allSources = []Source{Header, Form, JSON, Query, Cookie}
)

// newRequest is what a server makes of a request, including an unknown length
// when length is negative.
func newRequest(body, contentType string, length int64) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/login", io.NopCloser(strings.NewReader(body)))
	r.ContentLength = length
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func found(source Source, values ...string) Result {
	return Result{Status: Found, Source: source, Values: values}
}

func missing(reason string) Result { return Result{Status: Missing, Reason: reason} }

func malformed(source Source, reason string) Result {
	return Result{Status: Malformed, Source: source, Reason: reason}
}

// check compares all but BodyUnread.
func check(t *testing.T, got, want Result) {
	t.Helper()
	if got.Status != want.Status || got.Source != want.Source || got.Reason != want.Reason || !slices.Equal(got.Values, want.Values) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// extractFrom looks for a proof in the request and checks that the body is
// whole afterwards.
func extractFrom(t *testing.T, e *Extractor, r *http.Request, body string) Result {
	t.Helper()
	result, err := e.Extract(httptest.NewRecorder(), r, r.URL.RawQuery, 0, nil)
	if err != nil {
		t.Fatalf("Extract: %v", err)
	}
	after, err := io.ReadAll(r.Body)
	if err != nil || string(after) != body {
		t.Fatalf("the body is now %q, %v; it was %q", after, err, body)
	}
	return result
}

func TestTheFirstSourceInOrderDecidesAndSourcesAreNeverMixed(t *testing.T) {
	const (
		form     = "application/x-www-form-urlencoded"
		complete = "ticket=fT&randstr=fR"
	)
	for name, test := range map[string]struct {
		sources      []Source
		header       http.Header
		query        string
		body         string
		want         Result
		bodyIsUnread bool
	}{
		"header before form":            {allSources, http.Header{"Captcha-Ticket": {"hT"}, "Captcha-Randstr": {"hR"}}, "", complete, found(Header, "hT", "hR"), true},
		"form before header":            {[]Source{Form, Header}, http.Header{"Captcha-Ticket": {"hT"}, "Captcha-Randstr": {"hR"}}, "", complete, found(Form, "fT", "fR"), false},
		"incomplete header, then form":  {allSources, http.Header{"Captcha-Ticket": {"hT"}}, "", complete, found(Form, "fT", "fR"), false},
		"malformed header, then form":   {allSources, http.Header{"Captcha-Ticket": {"h T"}}, "", complete, malformed(Header, ReasonCharacters), true},
		"form, then malformed query":    {allSources, nil, "ticket=%zz", complete, found(Form, "fT", "fR"), false},
		"half in header, half in form":  {allSources, http.Header{"Captcha-Ticket": {"hT"}}, "", "randstr=fR", missing(ReasonIncomplete), false},
		"half in header, half in query": {[]Source{Header, Query}, http.Header{"Captcha-Ticket": {"hT"}}, "randstr=qR", "", missing(ReasonIncomplete), true},
		"half in form, half in cookie":  {allSources, http.Header{"Cookie": {"randstr=cR"}}, "", "ticket=fT", missing(ReasonIncomplete), false},
		"query":                         {allSources, nil, "ticket=qT&randstr=qR", "", found(Query, "qT", "qR"), false},
		"query, then cookie":            {allSources, http.Header{"Cookie": {"ticket=cT; randstr=cR"}}, "ticket=qT&randstr=qR", "", found(Query, "qT", "qR"), false},
		"cookie":                        {allSources, http.Header{"Cookie": {"ticket=cT; randstr=cR"}}, "", "", found(Cookie, "cT", "cR"), false},
		"query is not configured":       {[]Source{Header, Form, JSON}, nil, "ticket=qT&randstr=qR", "", missing(ReasonNone), false},
		"form is not configured":        {[]Source{Header, JSON}, nil, "", complete, missing(ReasonNone), true},
		"nothing":                       {allSources, nil, "", "user=alice", missing(ReasonNone), false},
		"empty values":                  {allSources, http.Header{"Captcha-Ticket": {""}}, "ticket=&randstr", "ticket=&randstr=", missing(ReasonNone), false},
		"no source":                     {nil, http.Header{"Captcha-Ticket": {"hT"}}, "", complete, missing(ReasonNone), true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest(test.body, form, -1)
			maps.Copy(r.Header, test.header)
			r.URL.RawQuery = test.query
			got := extractFrom(t, New(parameters, test.sources, bodyLimit), r, test.body)
			check(t, got, test.want)
			if got.BodyUnread != test.bodyIsUnread {
				t.Errorf("BodyUnread is %v", got.BodyUnread)
			}
		})
	}
}

// TestTwoNamesOfOneParameter: a request may use any of them, and one only.
func TestTwoNamesOfOneParameter(t *testing.T) {
	e := New([]Parameter{
		{Name: "ticket", Fields: []string{"captcha.ticket", "ticket", "t"}, Header: "Captcha-Ticket", MaxLength: 16},
		{Name: "randstr", Fields: []string{"captcha.rand", "r"}, Header: "Captcha-Randstr", MaxLength: 8},
	}, allSources, bodyLimit)
	for _, test := range []struct {
		pairs, document string
		want            func(Source) Result
	}{
		{"ticket=1&r=2", `{"ticket":"1","r":"2"}`, func(s Source) Result { return found(s, "1", "2") }},
		{"t=1&captcha.rand=2", `{"t":"1","captcha":{"rand":"2"}}`, func(s Source) Result { return found(s, "1", "2") }},
		{"captcha.ticket=1&captcha.rand=2", `{"captcha":{"rand":"2","ticket":"1"}}`, func(s Source) Result { return found(s, "1", "2") }},
		{"ticket=1&t=2", `{"ticket":"1","t":"2"}`, func(s Source) Result { return malformed(s, ReasonDuplicate) }},
		{"t=1&r=2&ticket=1", `{"t":"1","r":"2","ticket":"1"}`, func(s Source) Result { return malformed(s, ReasonDuplicate) }},
		{"captcha.ticket=&t=1&r=2", `{"captcha":{"ticket":""},"t":"1","r":"2"}`, func(s Source) Result { return malformed(s, ReasonDuplicate) }},
		{"t=1&ticket=%zz", `{"t":"1","ticket":1}`, nil},
		{"rand=2&t=1", `{"rand":"2","t":"1"}`, func(Source) Result { return missing(ReasonIncomplete) }},
	} {
		parts := ""
		for pair := range strings.SplitSeq(test.pairs, "&") {
			name, value, _ := strings.Cut(pair, "=")
			parts += part(name, value)
		}
		for name, request := range map[string]struct {
			query, cookie, contentType, body string
			source                           Source
		}{
			"query":     {query: test.pairs, source: Query},
			"cookie":    {cookie: strings.ReplaceAll(test.pairs, "&", "; "), source: Cookie},
			"form":      {contentType: urlEncoded, body: test.pairs, source: Form},
			"multipart": {contentType: "multipart/form-data; boundary=b", body: parts + "--b--", source: Form},
			"JSON":      {contentType: "application/json", body: test.document, source: JSON},
		} {
			t.Run(name+" "+test.pairs, func(t *testing.T) {
				r := newRequest(request.body, request.contentType, int64(len(request.body)))
				r.URL.RawQuery = request.query
				if request.cookie != "" {
					r.Header.Set("Cookie", request.cookie)
				}
				got := extractFrom(t, e, r, request.body)
				if test.want == nil {
					if got.Status != Malformed {
						t.Errorf("got %+v", got)
					}
					return
				}
				check(t, got, test.want(request.source))

				if request.source == Query || request.source == Cookie {
					e.Strip(r, []Source{Query, Cookie}) // removes them all, whichever was used
					check(t, extractFrom(t, e, r, ""), missing(ReasonNone))
				}
			})
		}
	}
}

func TestTheQueryThatTheClientSentIsSearchedAndNotTheRewrittenOne(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/index.php?ticket=rewritten&randstr=r", nil)
	got, err := New(parameters, allSources, bodyLimit).Extract(httptest.NewRecorder(), r, "ticket=sent&randstr=s", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, found(Query, "sent", "s"))
}

func TestHeader(t *testing.T) {
	for name, test := range map[string]struct {
		ticket, randstr []string
		want            Result
	}{
		"both":                 {[]string{"t03*_-|"}, []string{"@Vki"}, found(Header, "t03*_-|", "@Vki")},
		"longest":              {[]string{strings.Repeat("t", 16)}, []string{"r"}, found(Header, strings.Repeat("t", 16), "r")},
		"too long":             {[]string{strings.Repeat("t", 17)}, []string{"r"}, malformed(Header, ReasonLength)},
		"one":                  {[]string{"t"}, nil, missing(ReasonIncomplete)},
		"one and an empty one": {[]string{"t"}, []string{""}, missing(ReasonIncomplete)},
		"two lines":            {[]string{"t", "t"}, []string{"r"}, malformed(Header, ReasonDuplicate)},
		"two empty lines":      {[]string{"", ""}, []string{"r"}, malformed(Header, ReasonDuplicate)},
		"a joined list":        {[]string{"t, t"}, []string{"r"}, malformed(Header, ReasonCharacters)},
		"control character":    {[]string{"t\x01"}, []string{"r"}, malformed(Header, ReasonCharacters)},
		"DEL":                  {[]string{"t\x7f"}, []string{"r"}, malformed(Header, ReasonCharacters)},
		"not ASCII":            {[]string{"té"}, []string{"r"}, malformed(Header, ReasonCharacters)},
		"invalid UTF-8":        {[]string{"t\xff"}, []string{"r"}, malformed(Header, ReasonCharacters)},
		"first and last":       {[]string{"!"}, []string{"~"}, found(Header, "!", "~")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("", "", 0)
			r.Header["Captcha-Ticket"], r.Header["Captcha-Randstr"] = test.ticket, test.randstr
			check(t, extractFrom(t, New(parameters, allSources, bodyLimit), r, ""), test.want)
		})
	}
}

func TestQuery(t *testing.T) {
	for query, want := range map[string]Result{
		"":                                     missing(ReasonNone),
		"&&&":                                  missing(ReasonNone),
		"page=2&ticket=t&x=%zz&randstr=r#":     found(Query, "t", "r#"),
		"ticket=a%2Bb%7cc&randstr=%40Vki":      found(Query, "a+b|c", "@Vki"),
		"ticket=a+b&randstr=r":                 malformed(Query, ReasonCharacters),
		"ticket=a=b&randstr=r":                 found(Query, "a=b", "r"),
		"ticket=a;b&randstr=r":                 found(Query, "a;b", "r"),
		"ticket=t&randstr=%4":                  malformed(Query, ReasonCharacters),
		"ticket=t&randstr=r&ticket=t":          malformed(Query, ReasonDuplicate),
		"ticket=t&%74icke%74=t&randstr=r":      malformed(Query, ReasonDuplicate),
		"ticket=t&ticket&randstr=r":            malformed(Query, ReasonDuplicate),
		"ticket&ticket":                        malformed(Query, ReasonDuplicate),
		"ticket=t&randstr":                     missing(ReasonIncomplete),
		"tick%65t=t&%72andstr=r":               found(Query, "t", "r"),
		"Ticket=t&randstr=r":                   missing(ReasonIncomplete),
		"ticket%00=t&ticket%=t&ticket%6=t&t=t": missing(ReasonNone),
		"ticket=%00&randstr=r":                 malformed(Query, ReasonCharacters),
		"ticket=%C3%A9&randstr=r":              malformed(Query, ReasonCharacters),
		"ticket=t&randstr=123456789":           malformed(Query, ReasonLength),
		"ticket[]=t&randstr=r":                 missing(ReasonIncomplete),
	} {
		t.Run(query, func(t *testing.T) {
			r := newRequest("", "", 0)
			r.URL.RawQuery = query
			check(t, extractFrom(t, New(parameters, allSources, bodyLimit), r, ""), want)
		})
	}
}

func TestNamesAreDecodedBeforeTheyAreCompared(t *testing.T) {
	e := New([]Parameter{{Name: "ticket", Fields: []string{"a b+é[]"}, MaxLength: 16}}, []Source{Query}, bodyLimit)
	for query, want := range map[string]Result{
		"a+b%2b%c3%A9[]=t":         found(Query, "t"),
		"%61%20b%2B%C3%a9%5B%5d=t": found(Query, "t"),
		"a b%2bé[]=t":              found(Query, "t"),
		"a+b+%c3%A9[]=t":           missing(ReasonNone),
		"a+b%2b%c3[]=t":            missing(ReasonNone),
		"a+b%2b%c3%A9[=t":          missing(ReasonNone),
		"a+b%2b%c3%A9[]]=t":        missing(ReasonNone),
		"a+b%2b%c3%A9[%5=t":        missing(ReasonNone),
	} {
		t.Run(query, func(t *testing.T) {
			r := newRequest("", "", 0)
			r.URL.RawQuery = query
			check(t, extractFrom(t, e, r, ""), want)
		})
	}
}

func TestLookingInVainCostsNoMemory(t *testing.T) {
	e := New(parameters, allSources, bodyLimit)
	w := httptest.NewRecorder()
	r := newRequest("", "", 0)
	r.Header["Cookie"] = []string{"sid=1; a=b"}
	if allocations := testing.AllocsPerRun(100, func() {
		if result, err := e.Extract(w, r, "page=2&x=%20", timeout, nil); err != nil || result.Status != Missing {
			t.Error(result, err)
		}
	}); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestCookie(t *testing.T) {
	for name, test := range map[string]struct {
		lines []string
		want  Result
	}{
		"one line":             {[]string{"sid=1; ticket=t; randstr=r"}, found(Cookie, "t", "r")},
		"two lines":            {[]string{"ticket=t", "randstr=r"}, found(Cookie, "t", "r")},
		"no space, much space": {[]string{"ticket=t;  randstr=r ;"}, found(Cookie, "t", "r")},
		"quoted":               {[]string{`ticket="t"; randstr="r"`}, found(Cookie, "t", "r")},
		"one quote":            {[]string{`ticket="; randstr=r`}, found(Cookie, `"`, "r")},
		"not decoded":          {[]string{"ticket=%74; randstr=r=r"}, found(Cookie, "%74", "r=r")},
		"twice":                {[]string{"ticket=t; randstr=r; ticket=t"}, malformed(Cookie, ReasonDuplicate)},
		"twice in two lines":   {[]string{"ticket=t; randstr=r", "ticket=t"}, malformed(Cookie, ReasonDuplicate)},
		"space inside":         {[]string{"ticket=a b; randstr=r"}, malformed(Cookie, ReasonCharacters)},
		"without a value":      {[]string{"ticket; randstr=r"}, missing(ReasonIncomplete)},
		"another case":         {[]string{"Ticket=t; randstr=r"}, missing(ReasonIncomplete)},
		"none":                 {[]string{"sid=1; =; ;;"}, missing(ReasonNone)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("", "", 0)
			r.Header["Cookie"] = test.lines
			check(t, extractFrom(t, New(parameters, allSources, bodyLimit), r, ""), test.want)
		})
	}
}
