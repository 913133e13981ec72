/* Images of every kind that is read. OpenCV's own decoders are not instrumented: what is looked for is a header that makes
 * them ask for memory which its file cannot fill. */
#include "fuzz.h"

#include "darknet_plugin/data/image_io.h"

void fuzz_begin(void) {}

void fuzz_one(const uint8_t *data, size_t n)
{
    uint8_t *pixels;
    int w = 0, h = 0, sum = 0;
    char why[256] = "";
    fuzz_write("image", data, n);
    int channels = n && data[n - 1] & 1 ? 1 : 3, failed = image_decode("image", channels, &pixels, &w, &h, why, sizeof why);
    if (failed ? !why[0] : w < 1 || h < 1) abort();
    for (size_t i = 0; !failed && i < (size_t)w * (size_t)h * (size_t)channels; ++i) sum += pixels[i];
    fuzz_use(sum);
    free(pixels);
}
