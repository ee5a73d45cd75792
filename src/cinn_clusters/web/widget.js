// What a notebook calls: the model of the widget holds the packed one as JSON.
function render({ model, el }) {
  el.classList.add("cinn");
  start(el, JSON.parse(model.get("pack")));
}

export default { render };
