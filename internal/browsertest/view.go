package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A View is how a tab presents itself to a page. Zero members stay as they
// are.
type View struct {
	Width, Height int64
	Phone         bool   // touch, a mobile viewport and two device pixels per CSS pixel
	Scheme        string // "light" or "dark"
	Language      string // as in Accept-Language: "zh-CN,zh;q=0.9"
	ReducedMotion bool
}

// Emulate gives the tab a view; pages loaded afterwards are asked for with it.
func Emulate(view View) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if view.Width > 0 {
			opts := []chromedp.EmulateViewportOption{}
			if view.Phone {
				opts = append(opts, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch)
			}
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(view.Width, view.Height, opts...)); err != nil {
				return err
			}
		}
		var features []*emulation.MediaFeature
		if view.Scheme != "" {
			features = append(features, &emulation.MediaFeature{Name: "prefers-color-scheme", Value: view.Scheme})
		}
		if view.ReducedMotion {
			features = append(features, &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
		}
		if features != nil {
			if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
				return err
			}
		}
		if view.Language == "" {
			return nil
		}
		agent, err := chromedp.Run(ctx, chromedp.Evaluate[string]("navigator.userAgent"))
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: view.Language})
		return err
	})
}

// Open goes to the URL and waits for the page's load event. If another
// navigation of the tab gets in between, such as the answer to a form that was
// sent before, it goes there again.
func Open(url string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for {
			err := chromedp.Do(ctx, chromedp.Navigate(url))
			if err == nil || !strings.Contains(err.Error(), "net::ERR_ABORTED") {
				return err
			}
			if sleepErr := chromedp.Do(ctx, chromedp.Sleep(20*time.Millisecond)); sleepErr != nil {
				return errors.Join(fmt.Errorf("going to %s: %w", url, sleepErr), err)
			}
		}
	})
}

// Screenshot writes what the viewport shows to a PNG file.
func Screenshot(file string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		image, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			return err
		}
		return os.WriteFile(file, image, 0o600)
	})
}

// Await waits until the JavaScript expression is true. The tab may navigate
// meanwhile, and the expression may throw until it is true.
func Await(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for {
			ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
			if ok {
				return nil
			}
			if sleepErr := chromedp.Do(ctx, chromedp.Sleep(20*time.Millisecond)); sleepErr != nil {
				return errors.Join(fmt.Errorf("waiting for %s: %w", expression, sleepErr), err)
			}
		}
	})
}
