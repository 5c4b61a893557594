package inject

import (
	"bytes"
	"html"
	"strings"

	nethtml "golang.org/x/net/html"
)

// amendMeta returns the meta tag with its content security policy amended, and
// the nonce that the policy asks for. The tag is nil if nothing is to be
// changed.
func (s cspSources) amendMeta(tag []byte) (amended []byte, nonce string) {
	if !containsFold(tag, "http-equiv") {
		return nil, ""
	}
	tokens := nethtml.NewTokenizer(bytes.NewReader(tag))
	tokens.Next()
	element := tokens.Token()
	var equiv, content *string // of two attributes of one name the first counts
	for n := range element.Attr {
		attribute := &element.Attr[n]
		switch {
		case attribute.Key == "http-equiv" && equiv == nil:
			equiv = &attribute.Val
		case attribute.Key == "content" && content == nil:
			content = &attribute.Val
		}
	}
	if equiv == nil || content == nil || !strings.EqualFold(*equiv, enforcedCSP) {
		return nil, ""
	}
	policy, nonce := s.amend(*content)
	if policy == *content {
		return nil, nonce
	}
	*content = policy
	var b strings.Builder
	b.WriteString("<meta")
	for _, attribute := range element.Attr {
		b.WriteString(" " + attribute.Key + `="` + html.EscapeString(attribute.Val) + `"`)
	}
	b.WriteString(">")
	return []byte(b.String()), nonce
}

func containsFold(text []byte, lower string) bool {
	for len(text) >= len(lower) {
		n := 0
		for n < len(lower) && toLower(text[n]) == lower[n] {
			n++
		}
		if n == len(lower) {
			return true
		}
		text = text[1:]
	}
	return false
}
