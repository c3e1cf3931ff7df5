/* ResNet-50 (He et al. 2015, with the stride in the 3 × 3 convolutions) for inference, as a program would
 * write it; see sinter_models.h. Weights come as a list, in the order in which they are used. */
#include "sinter_models.h"

/* The next weights. */
typedef struct Rest {
    sn_tensor **next; /* the first of them */
} Rest;

static sn_tensor *take(Rest *rest) {
    return *rest->next++;
}

/* A convolution of k × k taps and its norm: weight, then gain, bias, mean, variance. */
static sn_tensor *conv_norm(sn_tensor *x, Rest *rest, int64_t stride) {
    sn_tensor *weight = take(rest), *gain = take(rest), *bias = take(rest);
    sn_tensor *mean = take(rest), *variance = take(rest);
    int64_t padding = sn_size(weight, 2) / 2;
    x = sn_conv2d(x, weight, SN_NONE, SN_I(stride), SN_I(padding), SN_I0, 1);
    return sn_batch_norm(x, mean, variance, gain, bias, 1e-5);
}

static sn_tensor *bottleneck(sn_tensor *x, Rest *rest, int64_t stride, bool first) {
    sn_tensor *y = sn_relu(conv_norm(x, rest, 1));
    y = sn_relu(conv_norm(y, rest, stride));
    y = conv_norm(y, rest, 1);
    return sn_relu(sn_add(y, first ? conv_norm(x, rest, stride) : x));
}

static sn_tensor *resnet50(sn_tensor *x, sn_tensor **weights, int32_t n_weights) {
    static const int blocks[RESNET_STAGES] = RESNET_BLOCKS;
    Rest rest = {weights};
    (void)n_weights;
    x = sn_relu(conv_norm(x, &rest, 2));
    x = sn_max_pool2d(x, SN_I(3), SN_I(2), SN_I(1), SN_I0, false);
    for (int stage = 0; stage < RESNET_STAGES; stage++)
        for (int i = 0; i < blocks[stage]; i++)
            x = bottleneck(x, &rest, i == 0 && stage > 0 ? 2 : 1, i == 0);
    x = sn_mean(x, SN_I(2, 3), false);
    sn_tensor *weight = take(&rest), *bias = take(&rest);
    return sn_linear(x, weight, bias);
}

static sn_tensor *invoke(sn_function function, sn_tensor *const *x, int32_t count, int64_t call) {
    typedef sn_tensor *Function(sn_tensor *, sn_tensor *const *, int32_t);
    (void)call;
    return ((Function *)function)(x[0], x + 1, count - 1);
}

const Model model_resnet50 = {(sn_function)resnet50, "resnet50", "tt*:t", NULL, 0, invoke};
