// The textbook's LoRALinear, trained to imitate another layer:  swift run -c release TextbookLayer

import LoRA

let teacher = Linear(64, 48, bias: false)
let layer = try LoRALinear(64, 48, configuration: .init(rank: 48), bias: false)
let parameters = layer.trainableParameters.map(\.parameter)  // A and B; W and b stay as they are
let optimizer = AdamW(parameters, learningRate: 1e-2)

for step in 1...200 {
  let x = Tensor.randomNormal([32, 64])
  let target = teacher(x)
  let (loss, gradients) = valueAndGradient(of: parameters) {
    let difference = layer(x) - target
    return (difference * difference).mean()
  }
  optimizer.step(gradients)
  if step % 50 == 0 { print("step \(step): loss \(loss.item)") }
}
