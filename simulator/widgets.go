package simulator

import (
	"embed"
	"net/http"
)

// The paths of what the browser loads. Those of the entry scripts and of the
// calls are the providers' own; those of the parts that the scripts load by
// themselves are shorter than the real ones, which change with each release.
const (
	V3ScriptPath  = "/static/tools/gt.js"          // static.geetest.com
	V3MainPath    = "/static/js/fullpage.js"       // static.geetest.com
	V3OfflinePath = "/static/js/fullpage.0.0.0.js" // static.geetest.com
	V3StylePath   = "/static/wind/style.css"       // static.geetest.com
	V3PicturePath = "/pictures/gt/bg.svg"          // static.geetest.com
	V3TypePath    = "/gettype.php"                 // api.geetest.com
	V3GetPath     = "/get.php"                     // api.geetest.com
	V3AjaxPath    = "/ajax.php"                    // api.geetest.com
	V3RefreshPath = "/refresh.php"                 // api.geetest.com
	V3ResetPath   = "/reset.php"                   // api.geetest.com

	V4ScriptPath  = "/v4/gt4.js"               // static.geetest.com
	V4AliPath     = "/v4/ct4.js"               // static.alicaptcha.com
	V4MainPath    = "/v4/static/gcaptcha4.js"  // static.geetest.com
	V4GctPath     = "/v4/gct/gct4.js"          // static.geetest.com
	V4BypassPath  = "/v4/bypass.js"            // static.geetest.com
	V4StylePath   = "/v4/static/gcaptcha4.css" // static.geetest.com
	V4PicturePath = "/captcha_v4/bg.svg"       // static.geetest.com
	V4LoadPath    = "/load"                    // gcaptcha4.geetest.com
	V4VerifyPath  = "/verify"                  // gcaptcha4.geetest.com

	TencentScript1Path     = "/TCaptcha.js"               // turing.captcha.qcloud.com
	TencentScript2Path     = "/TJCaptcha.js"              // turing.captcha.qcloud.com
	TencentIntlScript2Path = "/TCaptcha-global.js"        // ca.turing.captcha.qcloud.com
	TencentIntlScript3Path = "/TJNCaptcha-global.js"      // ca.turing.captcha.qcloud.com
	TencentMainPath        = "/tcaptcha-frame.js"         // turing.captcha.gtimg.com
	TencentFramePath       = "/template/drag_ele.html"    // turing.captcha.gtimg.com
	TencentPicturePath     = "/cap_union_new_getcapbysig" // turing.captcha.qcloud.com
	TencentPrehandlePath   = "/cap_union_prehandle"       // turing.captcha.qcloud.com
	TencentVerifyPath      = "/cap_union_new_verify"      // turing.captcha.qcloud.com
)

const (
	jsonType   = "application/json;charset=UTF-8"
	scriptType = "text/javascript;charset=UTF-8"
	styleType  = "text/css;charset=UTF-8"
	pageType   = "text/html;charset=UTF-8"
	imageType  = "image/svg+xml"
)

//go:embed widgets
var widgetFiles embed.FS

// staticFile is a file that a widget is made of.
type staticFile struct {
	path, contentType string
	parts             []string // the names of the files in widgets
	cors              bool     // whether pages may load it with crossorigin
}

var staticFiles = []staticFile{
	{V3ScriptPath, scriptType, []string{"net.js", "gt.js"}, true},
	{V3MainPath, scriptType, []string{"net.js", "box.js", "fullpage.js"}, true},
	{V3OfflinePath, scriptType, []string{"net.js", "box.js", "fullpage.0.0.0.js", "fullpage.js"}, true},
	{V3StylePath, styleType, []string{"style.css"}, true},
	{V3PicturePath, imageType, []string{"picture.svg"}, true},
	{V4ScriptPath, scriptType, []string{"net.js", "gt4_name.js", "gt4.js"}, true},
	{V4AliPath, scriptType, []string{"net.js", "ct4_name.js", "gt4.js"}, true},
	{V4MainPath, scriptType, []string{"net.js", "box.js", "gcaptcha4.js"}, true},
	{V4BypassPath, scriptType, []string{"net.js", "box.js", "bypass.js", "gcaptcha4.js"}, true},
	{V4GctPath, scriptType, []string{"gct4.js"}, true},
	{V4StylePath, styleType, []string{"style.css"}, true},
	{V4PicturePath, imageType, []string{"picture.svg"}, true},
	{TencentScript1Path, scriptType, []string{"net.js", "TCaptcha.js", "TencentCaptcha.js"}, false},
	{TencentScript2Path, scriptType, []string{"net.js", "TJCaptcha.js", "TencentCaptcha.js"}, false},
	{TencentIntlScript2Path, scriptType, []string{"net.js", "TCaptcha-global.js", "TencentCaptcha.js"}, false},
	{TencentIntlScript3Path, scriptType, []string{"net.js", "TJNCaptcha-global.js", "TencentCaptcha.js"}, false},
	{TencentMainPath, scriptType, []string{"net.js", "box.js", "tcaptcha-frame.js"}, false},
	{TencentFramePath, pageType, []string{"drag_ele.html"}, false},
	{TencentPicturePath, imageType, []string{"picture.svg"}, false},
}

// widgetEndpoints returns the endpoints of the browser's part.
func (s *Simulator) widgetEndpoints() map[string]endpoint {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	endpoints := map[string]endpoint{
		V3TypePath:           {answer: s.typeV3, methods: get, jsonp: true},
		V3GetPath:            {answer: s.getV3, methods: get, jsonp: true},
		V3AjaxPath:           {answer: s.ajaxV3, methods: get, jsonp: true},
		V3RefreshPath:        {answer: s.refreshV3, methods: get, jsonp: true},
		V3ResetPath:          {answer: s.resetV3, methods: get, jsonp: true},
		V4LoadPath:           {answer: s.loadV4, methods: get, jsonp: true},
		V4VerifyPath:         {answer: s.verifyV4, methods: get, jsonp: true},
		TencentPrehandlePath: {answer: s.prehandle, methods: get, jsonp: true},
		TencentVerifyPath:    {answer: s.newVerify, methods: post, cors: true},
	}
	for _, file := range staticFiles {
		a := answer{http.StatusOK, file.contentType, file.content()}
		endpoints[file.path] = endpoint{answer: func(Call) answer { return a }, methods: get, cors: file.cors}
	}
	return endpoints
}

// content returns the parts of the file, one after the other. Scripts are put
// into a function of their own, so that the parts share names and leave no
// globals behind but those they mean to.
func (f staticFile) content() []byte {
	var content []byte
	for _, part := range f.parts {
		text, err := widgetFiles.ReadFile("widgets/" + part)
		if err != nil {
			panic("simulator: " + err.Error()) // a misspelled name above
		}
		content = append(content, text...)
	}
	if f.contentType != scriptType {
		return content
	}
	return append(append([]byte("(function () {\n'use strict';\n"), content...), "})();\n"...)
}
