package inject

import (
	"bytes"
	"strings"
	"testing"

	nethtml "golang.org/x/net/html"
)

const testElement = `<script data-ours=""></script>`

// testPage puts testElement into pages and has "amended" in its meta policies.
type testPage struct{ elements int }

func (p *testPage) element() string {
	p.elements++
	return testElement
}

func (p *testPage) amendMeta(tag []byte) []byte {
	if !bytes.Contains(tag, []byte("policy")) {
		return nil
	}
	return bytes.Replace(tag, []byte("policy"), []byte("amended"), 1)
}

// scanPage runs a page through a scanner in pieces of the given sizes, which
// are repeated. A negative size flushes after its piece.
func scanPage(in string, sizes ...int) (out string, s *scanner) {
	s = &scanner{page: &testPage{}, budget: scanLimit}
	var b strings.Builder
	emit := func() {
		n := s.ready()
		b.Write(s.buf[:n])
		s.drop(n)
	}
	for n := 0; in != ""; n++ {
		size := sizes[n%len(sizes)]
		piece := in[:min(max(size, -size, 1), len(in))]
		in = in[len(piece):]
		rest := s.feed([]byte(piece))
		if size < 0 || s.inserted || s.done {
			emit()
		}
		b.Write(rest)
		if s.done {
			b.WriteString(in)
			return b.String(), s
		}
	}
	s.end()
	emit()
	return b.String(), s
}

func TestPlaceOfTheElement(t *testing.T) {
	for name, page := range map[string]string{
		// | is where the element goes.
		"whole document":       "<!DOCTYPE html>\n<html lang=de>\n<head>\n<meta charset=utf-8>\n<title>a</title>\n|<link rel=stylesheet href=a.css><script>x</script></head><body></body></html>",
		"script first":         "<html><head>|<script src=app.js></script><title>a</title></head>",
		"style first":          "<html><head>|<style>p{}</style></head>",
		"base":                 "<head><meta charset=utf-8>|<base href=//elsewhere.example/><title>a</title></head>",
		"empty head":           "<html><head>|</head><body>",
		"no head":              "<!doctype html><html>|<body><form>",
		"no tags but a form":   "|<form method=post>",
		"only a title":         "<title>a</title>|<form>",
		"text":                 "<!doctype html>|text",
		"text after space":     "<title>a</title>  \n|text <head></head>",
		"upper case":           "<!DOCTYPE HTML><HTML><HEAD><META CHARSET=GBK><TITLE>a</TITLE>|<SCRIPT></SCRIPT>",
		"frameset":             "<html><head><title>a</title>|</head><frameset><frame></frameset>",
		"no end of head":       "<html><head><meta charset=utf-8>|<frameset>",
		"noscript":             "<head><meta charset=utf-8>|<noscript><meta http-equiv=refresh></noscript>",
		"byte order mark":      "\xef\xbb\xbf \n<!doctype html><head>|</head>",
		"xml declaration":      "<?xml version='1.0'?><!DOCTYPE html><html xmlns='a'><head>|<link/></head>",
		"comment":              "<!-- <head><script> --><html><!-- --!><head><!--> <!---> <!-- a -- > --->|<link>",
		"end with a bang":      "<!-- a --!><head>|<link><!-- -->",
		"empty comment":        "<!--><head>|<link><!-- -->",
		"comment of a dash":    "<!---><head>|<link><!-- -->",
		"bang in a comment":    "<!-- --!a --!-><head> --><head>|<link>",
		"another tag's end":    "<title></t><script></title>|<body>",
		"conditional comment":  "<!--[if IE]><head><script src=a></script><![endif]--><![if !IE]><head>|<link>",
		"cdata":                "<![CDATA[ <head> |]]>text",
		"head in an attribute": "<html data-a='<head><script>' data-b=\"'><head>\" data-c=a'b\">|<body>",
		"quote in a name":      "<meta a\"b><head>|<body title=\">\">",
		"equals sign first":    "<meta =\"><head>|<p>",
		"slash":                "<meta charset=utf-8/><head/ ><title/>a</title>|<link>",
		"value ends the tag":   "<meta content=><title>a</title>|<link>",
		"head in the title":    "<title><head><script></titles></title >|<body>",
		"title in a quote":     "<title a='</title>'>b</title>|<body>",
		"header is not head":   "<html>|<header>",
		"heading":              "|<h1>a</h1>",
		"stray end tags":       "<html></p></title></1></><head>|</head>",
		"end of the body":      "<html>|</body >",
		"less-than sign":       "<html>|< a",
		"nothing after it":     "<html><head><title>a</title>|",
		"comment only":         "<!-- a -->|",
		"nul":                  "<html>|\x00<head>",
		"charset of two bytes": "<title>\x8e\x5c\x81\x40</title>|<body>",
	} {
		t.Run(name, func(t *testing.T) {
			in := strings.Replace(page, "|", "", 1)
			want := strings.Replace(page, "|", testElement, 1)
			for _, sizes := range [][]int{{1 << 20}, {1}, {-1}, {7, -2}} {
				if out, _ := scanPage(in, sizes...); out != want {
					t.Errorf("in pieces of %v\ngot  %q\nwant %q", sizes, out, want)
				}
			}
		})
	}
}

func TestPagesThatStayAsTheyAre(t *testing.T) {
	for name, test := range map[string]struct {
		page   string
		reason Reason
	}{
		"empty":                     {"", ""},
		"space":                     {" \r\n", ""},
		"json":                      {`{"html": "<html><head></head>"}`, NotHTML},
		"text":                      {"one < two <head></head>", NotHTML},
		"less-than sign":            {"< html><head></head>", NotHTML},
		"utf-16":                    {"\xff\xfe<\x00h\x00>\x00", NotHTML},
		"utf-16 without a mark":     {"<\x00h\x00e\x00a\x00d\x00>\x00", NotHTML},
		"ends in a tag":             {"<html><head><meta charset=", EndsUnfinished},
		"ends in a quote":           {"<html><meta a=\"></head><body>", EndsUnfinished},
		"ends in a comment":         {"<html><!-- <head></head>", EndsUnfinished},
		"ends in the title":         {"<html><title><head></head></titl", EndsUnfinished},
		"a long comment":            {"<!--" + strings.Repeat("a", scanLimit) + "--><head></head>", NoPlace},
		"a long run of space":       {strings.Repeat(" ", 3*scanLimit) + "<head></head>", NoPlace},
		"a policy, but no place":    {"<meta content=policy><title>", EndsUnfinished},
		"a policy, then a long tag": {"<meta content=policy><meta " + strings.Repeat("a ", scanLimit) + "><p>", NoPlace},
	} {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]int{{1 << 20}, {1}, {7, 2}} {
				out, s := scanPage(test.page, sizes...)
				if out != test.page {
					t.Errorf("in pieces of %v it became %.200q", sizes, out)
				}
				if s.reason != test.reason || s.inserted {
					t.Errorf("in pieces of %v the reason is %q, want %q", sizes, s.reason, test.reason)
				}
			}
		})
	}
}

func TestMetaTagsAreAmendedAsFarAsTheHeadGoes(t *testing.T) {
	for _, test := range [][2]string{
		{"<meta policy><title>a</title><meta a policy>|<link><meta b policy><body>", "<meta amended><title>a</title><meta a amended>|<link><meta b amended><body>"},
		{"<head>|<script>'<meta policy>'</script><meta policy><style><meta policy></style></head>\n<meta policy><body>", "<head>|<script>'<meta policy>'</script><meta amended><style><meta policy></style></head>\n<meta amended><body>"},
		{"<head>|<link><!-- <meta policy> --><noscript><meta policy></noscript ><meta policy><p><meta policy>", "<head>|<link><!-- <meta policy> --><noscript><meta policy></noscript ><meta amended><p><meta policy>"},
		{"<head>|<link>text<meta policy>", "<head>|<link>text<meta policy>"},
		{"<head>|<link><meta policy", "<head>|<link><meta policy"},
		{"<head>|<script><!-- <script></script><meta policy></script>", "<head>|<script><!-- <script></script><meta policy></script>"},
	} {
		in := strings.Replace(test[0], "|", "", 1)
		want := strings.Replace(test[1], "|", testElement, 1)
		for _, sizes := range [][]int{{1 << 20}, {1}, {-1}, {7, -2}} {
			if out, _ := scanPage(in, sizes...); out != want {
				t.Errorf("in pieces of %v\ngot  %q\nwant %q", sizes, out, want)
			}
		}
	}
}

// TestWhatIsBeforeThePlaceGoesOut: what was flushed is not held back, apart
// from the tag that might be the first one after the element.
func TestWhatIsBeforeThePlaceGoesOut(t *testing.T) {
	s := &scanner{page: &testPage{}, budget: scanLimit}
	for _, step := range []struct{ in, out string }{
		{" \n", ""},
		{"<", ""},
		{"!doc", " \n<!doc"},
		{"type html><!-- ", "type html><!-- "},
		{"--><title>wait", "--><title>wait"},
		{"</title><met", "</title>"},
		{"a name=a>", "<meta name=a>"},
		{"<scr", testElement[:0]},
		{"ipt>", testElement + "<script>"},
	} {
		s.feed([]byte(step.in))
		n := s.ready()
		if out := string(s.buf[:n]); out != step.out {
			t.Errorf("after %q came %q, want %q", step.in, out, step.out)
		}
		s.drop(n)
	}
}

// FuzzScanner: the element comes exactly once, at one place, or not at all,
// however the page is cut into writes, and where it comes the page's tree is
// otherwise what it was.
func FuzzScanner(f *testing.F) {
	f.Add([]byte("<!doctype html><html><head><meta charset=utf-8><title>a</title><script>b</script></head><body>c"), uint64(1))
	f.Add([]byte("<!-- a --><![if IE]><meta a='>' b=\"'>\"><title></titl></title>  text"), uint64(0x0103))
	f.Add([]byte("\xef\xbb\xbf<?xml?><html><frameset><frame>"), uint64(0xff02))
	f.Add([]byte{0, 1, 2, 4, 5, 6, 7, 40, 12}, uint64(1<<63))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		if seed>>63 == 1 {
			in = spell(in)
		}
		out, s := scanPage(string(in), 1<<20)
		if p := s.page.(*testPage); s.inserted != (p.elements == 1) || p.elements > 1 {
			t.Fatalf("asked for %d elements", p.elements)
		}
		sizes := make([]int, 8)
		for n := range sizes {
			sizes[n] = int(int8(seed >> (8 * n)))
		}
		again, s2 := scanPage(string(in), sizes...)
		if s2.inserted == s.inserted && again != out && s.inserted {
			t.Fatalf("in pieces of %v\ngot  %q\nwant %q", sizes, again, out)
		}
		if s2.inserted != s.inserted || s2.reason != s.reason {
			t.Fatalf("in pieces of %v: inserted %t, %q, want %t, %q", sizes, s2.inserted, s2.reason, s.inserted, s.reason)
		}
		if !s.inserted {
			if out != string(in) {
				t.Fatalf("without the element it became %q", out)
			}
			return
		}
		if bytes.Contains(in, []byte("policy")) || bytes.Contains(in, []byte("data-ours")) {
			return
		}
		before, after, found := strings.Cut(out, testElement)
		if !found || before+after != string(in) {
			t.Fatalf("%q became %q", in, out)
		}
		if _, err := nethtml.Parse(bytes.NewReader(in)); err != nil {
			return // too deep for the parser to compare with
		}
		if got, want := tree(t, out, true), tree(t, string(in), false); got != want {
			t.Fatalf("in   %q\nout  %q\ntree %s\nwant %s", in, out, got, want)
		}
	})
}

// spell makes a page of words that matter to the scanner.
func spell(letters []byte) []byte {
	words := strings.Split("<!doctype html>|<html>|<head>|</head>|<meta charset=utf-8>|<title>|</title>|<script>|</script>|<body>|</body>|</html>|"+
		"<!--|-->|--!>|<!-->|<!|<?|>|<|</|'|\"|=|-|!| |\n|a|<base>|<link/>|<style>|</style>|<noscript>|</noscript>|<template>|</template>|"+
		"<p>|</p>|</br>|<frameset>|<svg>|<meta a='|<meta a=\"|<html b=|<head |/|\x00|<title |<scrip|t>|</titl|e>|<![CDATA[|]]>", "|")
	var page []byte
	for _, letter := range letters {
		page = append(page, words[int(letter)%len(words)]...)
	}
	return page
}

// tree returns a page's tree, without our element, which must be in the head
// if it is to be there.
func tree(t *testing.T, page string, ours bool) string {
	t.Helper()
	root, err := nethtml.Parse(strings.NewReader(strings.TrimPrefix(page, "\xef\xbb\xbf")))
	if err != nil {
		t.Fatal(err)
	}
	var found *nethtml.Node
	for node := range root.Descendants() {
		if node.Type == nethtml.ElementNode && node.Data == "script" && len(node.Attr) == 1 && node.Attr[0].Key == "data-ours" {
			found = node
		}
	}
	if (found != nil) != ours {
		t.Fatalf("our element is in the tree of %q: %t", page, found != nil)
	}
	if ours {
		if found.Parent.Data != "head" {
			t.Fatalf("our element is in %s of %q", found.Parent.Data, page)
		}
		found.Parent.RemoveChild(found)
	}
	var b strings.Builder
	dump(&b, root, 0)
	return b.String()
}

func dump(b *strings.Builder, node *nethtml.Node, depth int) {
	if depth > 500 {
		return
	}
	b.WriteString(strings.Repeat(" ", depth))
	switch node.Type {
	case nethtml.TextNode:
		b.WriteString("text ")
	case nethtml.CommentNode:
		b.WriteString("comment ")
	default: // has a name
	}
	b.WriteString(node.Data)
	for _, attribute := range node.Attr {
		b.WriteString(" " + attribute.Key + "=" + attribute.Val)
	}
	b.WriteString("\n")
	for child := range node.ChildNodes() {
		dump(b, child, depth+1)
	}
}
