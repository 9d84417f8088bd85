// Applies the remembered theme before the first paint, so that nobody is dazzled. A classic script, on purpose: modules wait.
(() => {
  try {
    const theme = localStorage.getItem("sandbox.theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; then the system decides.
  }
})();
