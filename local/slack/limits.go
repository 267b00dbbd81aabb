package slack

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// What Slack takes at most, in characters and things.
const (
	maxText          = 40000
	maxMessageBlocks = 50
	maxModalBlocks   = 100
	maxPage          = 999
	defaultPage      = 100
)

// checkBlocks says what Slack would find wrong with blocks.
func checkBlocks(blocks []Object, most int) error {
	if len(blocks) > most {
		return fmt.Errorf("%d blocks are more than %d", len(blocks), most)
	}
	ids := map[string]bool{}
	for i, block := range blocks {
		if err := checkBlock(block); err != nil {
			return fmt.Errorf("/blocks/%d: %w", i, err)
		}
		if name, _ := block["block_id"].(string); name != "" {
			if ids[name] || len(name) > 255 {
				return fmt.Errorf("/blocks/%d: block_id %q is there twice, or too long", i, name)
			}
			ids[name] = true
		}
	}
	return nil
}

func checkBlock(block Object) error {
	switch kind, _ := block["type"].(string); kind {
	case "divider", "image", "rich_text", "markdown":
		return nil
	case "header":
		return checkText(block["text"], 150, true)
	case "section":
		return checkSection(block)
	case "context":
		elements, _ := block["elements"].([]any)
		if len(elements) < 1 || len(elements) > 10 {
			return fmt.Errorf("%d elements are not 1 to 10", len(elements))
		}
		return nil
	case "actions":
		return checkActions(block)
	case "input":
		if err := checkText(block["label"], 2000, true); err != nil {
			return fmt.Errorf("label: %w", err)
		}
		element, _ := block["element"].(Object)
		if element["type"] == nil {
			return errors.New("there is no element")
		}
		return nil
	default:
		return fmt.Errorf("the type %q is unknown", kind)
	}
}

func checkSection(block Object) error {
	fields, _ := block["fields"].([]any)
	if block["text"] == nil && len(fields) == 0 {
		return errors.New("there is neither text nor fields")
	}
	if len(fields) > 10 {
		return fmt.Errorf("%d fields are more than 10", len(fields))
	}
	for i, field := range fields {
		if err := checkText(field, 2000, false); err != nil {
			return fmt.Errorf("field %d: %w", i, err)
		}
	}
	if block["text"] == nil {
		return nil
	}
	return checkText(block["text"], 3000, false)
}

func checkActions(block Object) error {
	elements, _ := block["elements"].([]any)
	if len(elements) < 1 || len(elements) > 25 {
		return fmt.Errorf("%d elements are not 1 to 25", len(elements))
	}
	ids := map[string]bool{}
	for i, item := range elements {
		element, _ := item.(Object)
		name, _ := element["action_id"].(string)
		if len(name) > 255 || name != "" && ids[name] {
			return fmt.Errorf("element %d: the action_id is there twice, or too long", i)
		}
		ids[name] = true
		if err := checkButton(element); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func checkButton(button Object) error {
	if button["type"] != "button" {
		return fmt.Errorf("the stand-in for Slack knows no element %v", button["type"])
	}
	if err := checkText(button["text"], 75, true); err != nil {
		return err
	}
	if value, _ := button["value"].(string); utf8.RuneCountInString(value) > 2000 {
		return errors.New("the value is too long")
	}
	if style := button["style"]; style != nil && style != "primary" && style != "danger" {
		return fmt.Errorf("the style %v is unknown", style)
	}
	confirm, ok := button["confirm"].(Object)
	if !ok {
		return nil
	}
	for _, part := range []struct {
		name  string
		most  int
		plain bool
	}{{"title", 100, true}, {"text", 300, false}, {"confirm", 30, true}, {"deny", 30, true}} {
		if err := checkText(confirm[part.name], part.most, part.plain); err != nil {
			return fmt.Errorf("confirm's %s: %w", part.name, err)
		}
	}
	return nil
}

// checkText checks a text object.
func checkText(object any, most int, plain bool) error {
	text, ok := object.(Object)
	if !ok {
		return errors.New("the text is no object")
	}
	content, _ := text["text"].(string)
	switch kind := text["type"]; {
	case kind != "plain_text" && (plain || kind != "mrkdwn"):
		return fmt.Errorf("the text is %v", kind)
	case content == "":
		return errors.New("the text is empty")
	case utf8.RuneCountInString(content) > most:
		return fmt.Errorf("the text has more than %d characters", most)
	}
	return nil
}

// checkView says what Slack would find wrong with a modal.
func checkView(view Object) error {
	if view["type"] != "modal" {
		return fmt.Errorf("the type is %v, not modal", view["type"])
	}
	if err := checkText(view["title"], 24, true); err != nil {
		return fmt.Errorf("title: %w", err)
	}
	for _, part := range []string{"submit", "close"} {
		if view[part] != nil {
			if err := checkText(view[part], 24, true); err != nil {
				return fmt.Errorf("%s: %w", part, err)
			}
		}
	}
	if metadata, _ := view["private_metadata"].(string); len(metadata) > 3000 {
		return errors.New("private_metadata is too long")
	}
	blocks := objects(view["blocks"])
	for _, block := range blocks {
		if block["type"] == "input" && view["submit"] == nil {
			return errors.New("there are inputs, but nothing to submit them")
		}
	}
	return checkBlocks(blocks, maxModalBlocks)
}

// objects are the objects of a list.
func objects(list any) []Object {
	items, _ := list.([]any)
	var all []Object
	for _, item := range items {
		if object, ok := item.(Object); ok {
			all = append(all, object)
		}
	}
	return all
}

// name gives blocks and their elements the ids that they lack.
func name(blocks []Object) []Object {
	for _, block := range blocks {
		if block["block_id"] == nil || block["block_id"] == "" {
			block["block_id"] = id("")
		}
		for _, element := range objects(block["elements"]) {
			if element["type"] == "button" && (element["action_id"] == nil || element["action_id"] == "") {
				element["action_id"] = id("")
			}
		}
	}
	return blocks
}
