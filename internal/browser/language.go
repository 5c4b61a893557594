package browser

import (
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// english is the language for everyone who has none of the others.
const english = "en"

// A text is what the pages say in one language, by name. The name dir is the
// language's direction: ltr or rtl.
type text struct {
	json   string
	byName map[string]string
}

//go:embed text/*.json
var textFiles embed.FS

// texts are those of all languages, by the languages' tags: each is the name of
// a file.
var texts = readTexts()

func readTexts() map[string]text {
	read := map[string]text{}
	entries, _ := textFiles.ReadDir("text") // what is embedded is there
	for _, entry := range entries {
		file, _ := textFiles.ReadFile("text/" + entry.Name())
		byName := map[string]string{}
		if err := json.Unmarshal(file, &byName); err != nil {
			panic(fmt.Sprintf("%s: %v", entry.Name(), err)) // which no test would let pass
		}
		compact, _ := json.Marshal(byName) // escapes what could be markup
		read[strings.TrimSuffix(entry.Name(), ".json")] = text{string(compact), byName}
	}
	return read
}

// textIn returns the texts in a language.
func textIn(lang string) map[string]string {
	if text, ok := texts[lang]; ok {
		return text.byName
	}
	return texts[english].byName
}

// How much of an Accept-Language header is looked at. Browsers stay far below.
const (
	maxHeader = 1024
	maxRanges = 32
)

// Language returns the language of the pages that suits an Accept-Language
// header best, one of ar, de, en, es, fr, id, ja, ko, pt, ru, th, vi, zh-CN and
// zh-TW.
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

// match returns the pages' language for a language range, or "".
func match(tag string) string {
	primary, subtags, _ := strings.Cut(strings.ToLower(tag), "-")
	switch primary {
	case "zh":
		return chinese(subtags)
	case "in": // what ISO 639 called it until 1989
		return "id"
	}
	if _, ok := texts[primary]; ok {
		return primary
	}
	return ""
}

// chinese returns the tag of the script in which Chinese is written there.
func chinese(subtags string) string {
	const simplified, traditional = "zh-CN", "zh-TW"
	for subtag := range strings.SplitSeq(subtags, "-") {
		switch subtag {
		case "hans":
			return simplified
		case "hant", "tw", "hk", "mo":
			return traditional
		}
	}
	return simplified
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
