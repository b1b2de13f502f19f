;; A component written by hand: what any toolchain may make, without interface, documentation or memory.
(component
  (core module $code
    (func (export "add") (param i32 i32) (result i32)
      local.get 0
      local.get 1
      i32.add)
    (func (export "divide") (param i32 i32) (result i32)
      local.get 0
      local.get 1
      i32.div_u))
  (core instance $instance (instantiate $code))
  (func $add (param "left" u32) (param "right" u32) (result u32)
    (canon lift (core func $instance "add")))
  (func $divide (param "left" u32) (param "right" u32) (result u32)
    (canon lift (core func $instance "divide")))
  (export "add" (func $add))
  (export "divide" (func $divide)))
