package slack

import (
	"context"
	"errors"
	"fmt"

	slackapi "github.com/slack-go/slack"
)

// workspace is where the app is installed.
type workspace struct {
	// token by which that was found out.
	token string
	// team is the workspace's id, and enterprise that of the organisation which it is in; empty where it is in none.
	team, enterprise string
}

// has says whether somebody who is at home in a team, and acts in one, is of the workspace.
func (w workspace) has(home, acts string) bool {
	if acts != "" && acts != w.team && (w.enterprise == "" || acts != w.enterprise) {
		return false
	}
	if home == "" {
		return acts != ""
	}
	return home == w.team || (w.enterprise != "" && home == w.enterprise)
}

// workspace asks Slack where the app is installed, once for each token.
func (a *App) workspace(ctx context.Context) (workspace, error) {
	token, err := a.o.BotToken()
	if err != nil {
		return workspace{}, fmt.Errorf("reading the bot token: %w", err)
	}
	a.mu.Lock()
	known := a.home
	a.mu.Unlock()
	if known.team != "" && known.token == token {
		return known, nil
	}
	known = workspace{token: token}
	err = a.call(ctx, "auth.test", "", func(ctx context.Context, api *slackapi.Client) error {
		answer, err := api.AuthTestContext(ctx)
		if err == nil {
			known.team, known.enterprise = answer.TeamID, answer.EnterpriseID
		}
		return err
	})
	if err != nil {
		return workspace{}, err
	}
	if known.team == "" {
		return workspace{}, errors.New("asking Slack for its workspace: it doesn't tell")
	}
	a.mu.Lock()
	a.home = known
	a.mu.Unlock()
	return known, nil
}

// learnHome asks that ahead of the first click, if Slack tells.
func (a *App) learnHome(ctx context.Context) {
	if _, err := a.workspace(ctx); err != nil {
		a.o.Log.V(1).Info("asking Slack where the app is installed; it is asked again at a click", "err", advised(err).Error())
	}
}
