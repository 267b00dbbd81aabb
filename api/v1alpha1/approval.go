package v1alpha1

import (
	"slices"
	"strings"
)

// Admits says whether somebody is among those who may approve: an actor, the person behind it where that is known, and the groups by
// which it is to count.
func (a *Approval) Admits(actor, person string, groups []string) bool {
	return len(a.Approvers) == 0 || slices.ContainsFunc(a.Approvers, func(who Approver) bool {
		return (who.User != "" && (who.User == actor || who.User == person)) || (who.Group != "" && slices.Contains(groups, who.Group))
	})
}

// Named tells people who may approve, such as "user alice, group shop-leads". It is empty when all may who have the permission.
func (a *Approval) Named() string {
	names := make([]string, len(a.Approvers))
	for i, who := range a.Approvers {
		names[i] = "user " + who.User
		if who.Group != "" {
			names[i] = "group " + who.Group
		}
	}
	return strings.Join(names, ", ")
}
