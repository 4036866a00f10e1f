// The bindings ask for an object file with the interface in it, which they would bring along if wit-bindgen had written one.
// `selvedge fn build` puts the interface into the finished module, so there is nothing to bring.

void __component_type_object_force_link_function(void) {}
