// What the providers' scripts add to a window.
interface Window {
  initGeetest(options: object, ready: (widget: any) => void): void;
  initGeetest4(options: object, ready: (widget: any) => void): void;
  TencentCaptcha: new (...options: any[]) => any;
}
