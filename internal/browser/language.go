package browser

import (
	"strconv"
	"strings"
)

// The languages of the page. English is for everyone else.
const (
	english            = "en"
	simplifiedChinese  = "zh-CN"
	traditionalChinese = "zh-TW"
)

// How much of an Accept-Language header is looked at. Browsers stay far below.
const (
	maxHeader = 1024
	maxRanges = 32
)

// Language returns the language of the page that suits an Accept-Language
// header best: zh-CN, zh-TW or en.
func Language(acceptLanguage string) string {
	best, bestQuality := english, 0.0
	rest := acceptLanguage[:min(len(acceptLanguage), maxHeader)]
	for range maxRanges {
		var item string
		item, rest, _ = strings.Cut(rest, ",")
		tag, parameters, _ := strings.Cut(item, ";")
		if language := match(strings.TrimSpace(tag)); language != "" {
			if q := quality(parameters); q > bestQuality {
				best, bestQuality = language, q
			}
		}
		if rest == "" {
			break
		}
	}
	return best
}

// match returns the page's language for a language range, or "".
func match(tag string) string {
	primary, subtags, _ := strings.Cut(strings.ToLower(tag), "-")
	switch primary {
	case "en":
		return english
	case "zh":
	default:
		return ""
	}
	for subtag := range strings.SplitSeq(subtags, "-") {
		switch subtag {
		case "hans":
			return simplifiedChinese
		case "hant", "tw", "hk", "mo":
			return traditionalChinese
		}
	}
	return simplifiedChinese
}

// quality returns the weight among the parameters of a language range; without
// one it is 1, and 0 for what is not a weight.
func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
