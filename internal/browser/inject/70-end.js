  protect(src, element.dataset);
})();
