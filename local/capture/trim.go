package capture

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math"
	"os"
)

// coarse is how far the shades of a colour are apart; white is one of them.
const coarse = 51

// trim writes a picture without the empty rows at its end.
func (c *camera) trim(from, name string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("read a picture: %w", err)
	}
	whole, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("read a picture: %w", err)
	}
	bounds := whole.Bounds()
	for bounds.Max.Y > bounds.Min.Y+1 && empty(whole, bounds.Max.Y-1) {
		bounds.Max.Y--
	}
	bounds.Max.Y = min(bounds.Max.Y+margin, whole.Bounds().Max.Y)
	cut := image.NewRGBA(bounds)
	draw.Draw(cut, bounds, whole, bounds.Min, draw.Src)
	for i, value := range cut.Pix {
		// Fewer shades of the letters' edges make a file of half the size.
		cut.Pix[i] = (value + (coarse-1)/2) / coarse * coarse
		if value > math.MaxUint8-coarse/2 {
			cut.Pix[i] = math.MaxUint8
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, cut); err != nil {
		return fmt.Errorf("write a picture: %w", err)
	}
	return c.write(name, out.Bytes())
}

// empty says whether a row has one colour only.
func empty(picture image.Image, y int) bool {
	bounds := picture.Bounds()
	first := picture.At(bounds.Min.X, y)
	for x := bounds.Min.X + 1; x < bounds.Max.X; x++ {
		if picture.At(x, y) != first {
			return false
		}
	}
	return true
}
