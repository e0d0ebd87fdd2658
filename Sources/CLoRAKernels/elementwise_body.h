// Kernels on f32 arrays: the general operations of the tensor library and the optimizer.

static void unary(int op, const float *x, float *y, size_t n) {
  switch (op) {
    case LK_NEGATE: for (size_t i = 0; i < n; ++i) y[i] = -x[i]; break;
    case LK_EXP: for (size_t i = 0; i < n; ++i) y[i] = expf(x[i]); break;
    case LK_LOG: for (size_t i = 0; i < n; ++i) y[i] = logf(x[i]); break;
    case LK_SQRT: for (size_t i = 0; i < n; ++i) y[i] = sqrtf(x[i]); break;
    case LK_TANH: for (size_t i = 0; i < n; ++i) y[i] = fast_tanh(x[i]); break;
    case LK_SIGMOID: for (size_t i = 0; i < n; ++i) y[i] = fast_sigmoid(x[i]); break;
    case LK_RELU: for (size_t i = 0; i < n; ++i) y[i] = x[i] > 0 ? x[i] : 0; break;
    case LK_SILU_OP: for (size_t i = 0; i < n; ++i) y[i] = x[i] * fast_sigmoid(x[i]); break;
    case LK_GELU:
      for (size_t i = 0; i < n; ++i) y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f));
      break;
    case LK_GELU_TANH_OP:
      for (size_t i = 0; i < n; ++i) {
        float v = x[i], inner = 0.7978845608f * (v + 0.044715f * v * v * v);
        y[i] = 0.5f * v * (1.0f + fast_tanh(inner));
      }
      break;
  }
}

// dx += dy·f'(x), given x and y = f(x).
static void unary_backward(
    int op, const float *x, const float *y, const float *dy, float *dx, size_t n) {
  switch (op) {
    case LK_NEGATE: for (size_t i = 0; i < n; ++i) dx[i] -= dy[i]; break;
    case LK_EXP: for (size_t i = 0; i < n; ++i) dx[i] += dy[i] * y[i]; break;
    case LK_LOG: for (size_t i = 0; i < n; ++i) dx[i] += dy[i] / x[i]; break;
    case LK_SQRT: for (size_t i = 0; i < n; ++i) dx[i] += dy[i] * 0.5f / y[i]; break;
    case LK_TANH: for (size_t i = 0; i < n; ++i) dx[i] += dy[i] * (1.0f - y[i] * y[i]); break;
    case LK_SIGMOID: for (size_t i = 0; i < n; ++i) dx[i] += dy[i] * y[i] * (1.0f - y[i]); break;
    case LK_RELU: for (size_t i = 0; i < n; ++i) dx[i] += x[i] > 0 ? dy[i] : 0; break;
    case LK_SILU_OP:
      for (size_t i = 0; i < n; ++i) {
        float s = fast_sigmoid(x[i]);
        dx[i] += dy[i] * s * (1.0f + x[i] * (1.0f - s));
      }
      break;
    case LK_GELU:
      for (size_t i = 0; i < n; ++i) {
        float cdf = 0.5f * (1.0f + erff(x[i] * 0.70710678f));
        float density = 0.3989422804f * fast_exp(-0.5f * x[i] * x[i]);
        dx[i] += dy[i] * (cdf + x[i] * density);
      }
      break;
    case LK_GELU_TANH_OP:
      for (size_t i = 0; i < n; ++i) {
        float v = x[i], t = fast_tanh(0.7978845608f * (v + 0.044715f * v * v * v));
        float slope = 0.7978845608f * (1.0f + 3.0f * 0.044715f * v * v);
        dx[i] += dy[i] * (0.5f * (1.0f + t) + 0.5f * v * (1.0f - t * t) * slope);
      }
      break;
  }
}

// c = a op b on one row of n; b is a row, or one number for all of it.
static void binary(int op, const float *a, const float *b, int b_is_scalar, float *c, size_t n) {
  size_t step = b_is_scalar ? 0 : 1;
  switch (op) {
    case LK_ADD: for (size_t i = 0; i < n; ++i) c[i] = a[i] + b[i * step]; break;
    case LK_SUBTRACT: for (size_t i = 0; i < n; ++i) c[i] = a[i] - b[i * step]; break;
    case LK_MULTIPLY: for (size_t i = 0; i < n; ++i) c[i] = a[i] * b[i * step]; break;
    case LK_DIVIDE: for (size_t i = 0; i < n; ++i) c[i] = a[i] / b[i * step]; break;
  }
}

static void axpy(float alpha, const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

// Sums in f64 over fixed blocks of 4096, so that the result does not depend on the thread count.
static double sum(const float *x, size_t n, int squared) {
  double total = 0;
  for (size_t start = 0; start < n; start += 4096) {
    size_t end = start + 4096 < n ? start + 4096 : n;
    double block = 0;
    {
#pragma clang fp reassociate(on)
      if (squared) {
        for (size_t i = start; i < end; ++i) block += (double)x[i] * x[i];
      } else {
        for (size_t i = start; i < end; ++i) block += x[i];
      }
    }
    total += block;
  }
  return total;
}

// y = softmax(x) or log softmax(x) of one row.
static void softmax(const float *x, float *y, size_t n, int logarithm) {
  float max = row_max(x, n), total = 0;
  {
#pragma clang fp reassociate(on)
    for (size_t i = 0; i < n; ++i) total += fast_exp(x[i] - max);
  }
  float lse = max + logf(total);
  for (size_t i = 0; i < n; ++i) y[i] = logarithm ? x[i] - lse : fast_exp(x[i] - lse);
}

// The online softmax's sums: what was summed is scaled to the new maximum.
static void exponential_sum(const float *x, size_t n, float *max, float *sum) {
  float part_max = row_max(x, n), before = *max, part = 0;
  float after = part_max > before ? part_max : before;
  {
#pragma clang fp reassociate(on) contract(fast)
    for (size_t i = 0; i < n; ++i) part += fast_exp(x[i] - after);
  }
  // Exactly 0 for the first part, whose `before` is -∞.
  *sum = (after > before ? *sum * expf(before - after) : *sum) + part;
  *max = after;
}

// softmax: dx += y·(dy - Σ dy·y); log softmax: dx += dy - e^y·Σ dy.
static void softmax_backward(const float *y, const float *dy, float *dx, size_t n, int logarithm) {
  float total = 0;
  {
#pragma clang fp reassociate(on)
    for (size_t i = 0; i < n; ++i) total += logarithm ? dy[i] : dy[i] * y[i];
  }
  for (size_t i = 0; i < n; ++i) {
    dx[i] += logarithm ? dy[i] - fast_exp(y[i]) * total : y[i] * (dy[i] - total);
  }
}

// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), in the order of torch.optim.AdamW.
static void adamw(
    float *w, const float *g, float *m, float *v, const lk_adamw_options *o, size_t n) {
  float step_size = o->learning_rate / o->bias_correction1;
  float root = sqrtf(o->bias_correction2);
  float keep = 1.0f - o->learning_rate * o->weight_decay;
  for (size_t i = 0; i < n; ++i) {
    float gradient = g[i] * o->gradient_scale;
    m[i] = m[i] + (gradient - m[i]) * (1.0f - o->beta1);
    v[i] = v[i] * o->beta2 + gradient * gradient * (1.0f - o->beta2);
    float denominator = sqrtf(v[i]) / root + o->epsilon;
    w[i] = w[i] * keep - step_size * m[i] / denominator;
  }
}

// Four Philox words per counter: uniform in [0, 1) with 24 bits, or normal pairs by Box–Muller.
static void random_fill(
    float *out, int normal, float a, float b, uint64_t seed, uint64_t stream, size_t begin,
    size_t end) {
  for (size_t i = begin; i < end; i += DRAWN) {
    const eight none = {0}, places = counting + i / 4;
    eight counters[4] = {places, places >> 32, none + stream, none + (stream >> 32)};
    uint32_t drawn[DRAWN];
    philox(counters, (uint32_t)seed, (uint32_t)(seed >> 32), drawn);
    const size_t count = end - i < DRAWN ? end - i : DRAWN;
    for (size_t k = 0; k < count; k += 2) {
      const float first = (float)(drawn[k] >> 8), second = (float)(drawn[k + 1] >> 8);
      float values[2];
      if (normal) {
        const float u = (first + 1.0f) * 0x1p-24f;  // (0, 1]: its logarithm is finite
        const float angle = second * 0x1p-24f * 6.28318530717958648f;
        const float radius = sqrtf(-2.0f * logf(u));
        values[0] = a + b * radius * cosf(angle);
        values[1] = a + b * radius * sinf(angle);
      } else {
        values[0] = a + (b - a) * (first * 0x1p-24f);
        values[1] = a + (b - a) * (second * 0x1p-24f);
      }
      memcpy(out + i + k, values, (count - k < 2 ? 1 : 2) * sizeof(float));
    }
  }
}
