package browsertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// AwaitInFrame waits until the JavaScript expression is true in a frame of the
// tab whose URL contains part, also one that no script of the tab can reach.
// The expression sees the frame's document, but not its scripts' variables.
func AwaitInFrame(part, expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		for {
			ok, err := InFrame(ctx, part, expression)
			if ok {
				return nil
			}
			if sleepErr := chromedp.Do(ctx, chromedp.Sleep(20*time.Millisecond)); sleepErr != nil {
				return errors.Join(fmt.Errorf("waiting for %s in the frame %s: %w", expression, part, sleepErr), err)
			}
		}
	})
}

// InFrame tells whether the JavaScript expression is true in such a frame, now.
func InFrame(ctx context.Context, part, expression string) (bool, error) {
	tree, err := chromedp.Call(ctx, page.GetFrameTree, cdp.Empty{})
	if err != nil {
		return false, err
	}
	id, ok := frameOf(tree.FrameTree, part)
	if !ok {
		return false, errors.New("there is no such frame")
	}
	world, err := chromedp.Call(ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: id})
	if err != nil {
		return false, err
	}
	return chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")", func(p *runtime.EvaluateParams) {
		p.ContextID = world.ExecutionContextID
	}))
}

func frameOf(tree *page.FrameTree, part string) (cdp.FrameID, bool) {
	for _, child := range tree.ChildFrames {
		if strings.Contains(child.Frame.URL, part) {
			return child.Frame.ID, true
		}
		if id, ok := frameOf(child, part); ok {
			return id, true
		}
	}
	return "", false
}
