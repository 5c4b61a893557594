package browser

import (
	"strings"
	"testing"
)

func TestLanguage(t *testing.T) {
	for header, want := range map[string]string{
		"":                        "en",
		"*":                       "en",
		"en":                      "en",
		"en-GB,en;q=0.9":          "en",
		"zh":                      "zh-CN",
		"zh-CN,zh;q=0.9,en;q=0.8": "zh-CN",
		"ZH-cn":                   "zh-CN",
		"zh-SG":                   "zh-CN",
		"zh-Hans-HK":              "zh-CN",
		"zh-TW":                   "zh-TW",
		"zh-HK,zh;q=0.9":          "zh-TW",
		"zh-MO":                   "zh-TW",
		"zh-Hant":                 "zh-TW",
		"zh-hant-CN":              "zh-TW",
		"fr-FR,fr;q=0.9":          "fr",
		"pt-BR":                   "pt", "in-ID": "id", "ar-EG,ar;q=0.9": "ar", "de-AT,en": "de", "tlh,en;q=0.5,ja;q=0.6": "ja",
		"nl-NL,zh-TW;q=0.2":                    "zh-TW",
		"en;q=0.5, zh-CN;q=0.6":                "zh-CN",
		"en;q=0.5, zh-CN;q=0.5":                "en",
		"zh-CN;q=0, en":                        "en",
		"zh-CN;q=0":                            "en",
		"zh-CN;q=0.000,zh-TW;q=0.001":          "zh-TW",
		" zh-TW ; q = 0.7 , en ; q = 0.3":      "zh-TW",
		"en;q=0.1,zh-CN;Q=0.9":                 "zh-CN",
		"zh-CN;q=2,en;q=0.1":                   "en",
		"zh-CN;q=NaN,en;q=0.1":                 "en",
		"zh-CN;q=-1,en;q=0.1":                  "en",
		"zh-CN;q=,en;q=0.1":                    "en",
		"zhx-TW,enq":                           "en",
		",,;;=,zh-TW":                          "zh-TW",
		strings.Repeat("nl,", 31) + "zh-TW":    "zh-TW",
		strings.Repeat("nl,", 32) + "zh-TW":    "en", // nobody sends so many
		strings.Repeat("x", 2000) + ",zh-TW":   "en",
		"zh-" + strings.Repeat("a-", 400) + "": "zh-CN",
	} {
		if got := Language(header); got != want {
			t.Errorf("got %s for %.60q, want %s", got, header, want)
		}
	}
}

func FuzzLanguage(f *testing.F) {
	for _, seed := range []string{"", "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hant;q=1e9", "en;q=0.5,*;q=0", ";;,,=q", "zh-\xff\x00;q=\xf0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := Language(header)
		if _, ok := texts[got]; !ok {
			t.Errorf("got %q, want a language of the pages", got)
		}
		asked := strings.Contains(strings.ToLower(header), got[:2]) || got == "id" && strings.Contains(strings.ToLower(header), "in")
		if got != english && !asked {
			t.Errorf("got %s for a header without it", got)
		}
	})
}
